"""Attention, words and origin in a real browser: on the page, and as a notebook shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import Open, assert_accessible, tab
from tests.support.reports import attributed, facts_of, looked, regressed, rows_of
from tests.support.values import everything

# How many colours a canvas has.
COLOURS = """canvas => new Set(Array.from(new Uint32Array(canvas.getContext("2d").getImageData(
    0, 0, canvas.width, canvas.height).data.buffer))).size"""


def explained(folder: Path, text: str = "refund") -> Path:
    row = regressed("t.py::test[1]", value=0.9)
    row["comparisons"][0] |= {
        "attention": looked(text),
        "attributions": [attributed(text)],
        "carried": {"change": 1.5, "tokens": 9, "layers": [["23", 0.5], ["4", -0.25]],
                    "kinds": [["q_proj", 0.5]], "fewest": ["23"], "kept": 0.8},
    }  # fmt: skip
    target = folder / "report.html"
    write_html(facts_of(rows_of([row])), target)
    return target


def show(page: Any, name: str) -> Any:
    """Open the first test, and what it has on a tab."""
    page.locator(".row a").first.click()
    return tab(page, name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_head_is_drawn_and_one_is_chosen(
    open_page: Open, tmp_path: Path, scheme: str
) -> None:
    page = open_page(
        explained(tmp_path), color_scheme=scheme, viewport={"width": 1440, "height": 900}
    )
    held = show(page, "Attention")
    grids = held.locator(".panels").first
    canvases = grids.locator(".panel > canvas")
    assert canvases.count() == 4
    assert all(canvas.evaluate(COLOURS) > 3 for canvas in canvases.all())
    assert [each.evaluate(COLOURS) > 50 for each in grids.locator(".ramp canvas").all()] == [
        True
    ] * 4
    assert held.get_by_role("heading", name="Layer 3, head 1").count() == 1, "it moved most"

    grids.focus()
    page.keyboard.press("ArrowLeft")
    assert held.locator(".said").first.inner_text().startswith("Layer 0, head 1: moved 0.2 bits")
    said = held.locator(".head").inner_text()
    assert "attention_map(comparison, layer=0, head=1)" in said, "this file lacks that map"
    page.keyboard.press("ArrowDown")
    maps = held.locator(".head .panel > canvas")
    assert maps.count() == 3
    assert held.locator(".head .said").inner_text() == (
        "Before writing “refund”, share of “refund”: base 0.5, tuned 0.75"
    )
    held.locator(".head .fold summary").click()
    cells = held.locator(".head .numbers :is(th, td)")
    cells.first.wait_for()  # a table is filled once it is open
    assert cells.all_inner_texts() == [
        "token of the reply", "refund", "before it", "refund", "0.5 → 0.75", "0.5 → 0.25",
    ]  # fmt: skip
    held.get_by_label("Show the tokens of the template").check()
    held.locator(".head .fold summary").click()
    cells.first.wait_for()
    assert held.locator(".head .numbers thead th").all_inner_texts()[1:] == ["<s>", "refund"]

    box = canvases.first.bounding_box()
    canvases.first.click(position={"x": box["width"] - 8, "y": 18 + 8})
    assert held.locator(".said").first.inner_text().startswith("Layer 3, head 0: moved 0.1 bits")
    assert_accessible(page)


def test_drawings_follow_the_theme(open_page: Open, tmp_path: Path) -> None:
    page = open_page(explained(tmp_path), color_scheme="light")
    canvas = show(page, "Attention").locator(".panels").first.locator(".panel > canvas").last
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    page.emulate_media(color_scheme="dark")
    # The page hears of it with its next frame.
    page.wait_for_function(
        "([canvas, light]) => canvas.toDataURL() !== light", arg=[canvas.element_handle(), light]
    )


def test_words_are_coloured_by_their_scores(open_page: Open, tmp_path: Path) -> None:
    page = open_page(explained(tmp_path, "refund"), viewport={"width": 390, "height": 844})
    held = show(page, "Words")
    texts = held.locator(".scores :is(th, td)").all_inner_texts()
    assert texts[:3] == ["method", "model", "refund"]
    assert texts[3:6] == ["leave-one-out", "base", "+0.5"]
    assert texts[6:8] == ["tuned", "–"], "a score that is not finite"
    strong, none = held.locator(".scores td").all()[:2]
    colour = "element => getComputedStyle(element).backgroundColor"
    assert strong.evaluate(colour) != none.evaluate(colour)
    agreement = held.locator("table").nth(1).locator("tbody").inner_text().split("\t")
    assert agreement == ["leave-one-out and shapley", "", "", "undefined, 1 of 1"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert_accessible(page)


def test_bars_have_the_length_of_their_values(open_page: Open, tmp_path: Path) -> None:
    page = open_page(explained(tmp_path))
    held = show(page, "Origin")
    table = held.locator(".origins").first
    long, short = (each.bounding_box()["width"] for each in table.locator(".push").all())
    assert short == pytest.approx(long / 2, rel=0.05)
    assert table.locator(".push.less").count() == 1, "it moves the other way"
    assert_accessible(page)


def test_a_notebook_shows_values_and_nothing_gets_out_of_them(
    open_page: Open, tmp_path: Path
) -> None:
    text = '</script><script>parent.injected = 1</script><img src="http://127.0.0.1:9/x.png">'
    file = tmp_path / "notebook.html"
    values = [value._repr_html_() for value in everything(text)]
    file.write_text(f'<!DOCTYPE html><meta charset="utf-8">{"<p>out</p>".join(values)}', "utf-8")
    page = open_page(file)
    frames = page.frames[1:]
    assert len(frames) == len(values)
    for frame in frames:
        frame.wait_for_load_state()
        assert "injected" in frame.locator("body").inner_text() or frame.locator("canvas").count()
        assert frame.locator("img").count() == 0
    (heads,) = [frame for frame in frames if frame.locator(".heads").count()]
    assert heads.locator(".panel > canvas").count() == 7, "four grids and three maps"
    assert heads.locator(".panel > canvas").last.evaluate(COLOURS) > 3
    assert page.evaluate("typeof window.injected") == "undefined"
