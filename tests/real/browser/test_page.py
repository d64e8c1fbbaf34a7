"""The HTML report as a page: its head, why, the list, and that it runs its own script alone."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.html import write_html
from pytest_llmdiff.reports.html.entries import link_of
from tests.support import ROOT
from tests.support.browser import AXE, CHROMIUM, Open, assert_accessible, titles, wider_than
from tests.support.reports import facts_of, row_of, rows_of

playwright = pytest.importorskip("playwright.sync_api")
LIST = "#shown"


def shown(page: Any, text: str) -> None:
    """Wait until the filters have done so much."""
    playwright.expect(page.locator(LIST)).to_have_text(text)


def test_the_head_and_why_answer_at_once(open_page: Open, file: Path) -> None:
    page = open_page(file, viewport={"width": 1440, "height": 900})
    assert page.title() == "llmdiff: Do not merge: 2 regressed, 1 error, 8 passed"
    head = page.locator("#head").inner_text()
    for fact in ("DO NOT MERGE", "exit code 1", "models/base", "out/adapter", "2027-01-15",
                 "commit c0ffeec0ff", "took 2 min", "on cpu"):  # fmt: skip
        assert fact in head
    causes = page.locator(".causes > li")
    assert causes.locator("h3").all_inner_texts() == [
        "replies are toxic: toxicity 0.90, limit 0.20",
        "there is no result because of an error: RuntimeError: no database",
    ]
    assert causes.first.locator("a").inner_text() == "2 tests"
    assert causes.first.locator("svg .limit").count() == 1
    assert "search the training data" in causes.first.locator(".remedy").inner_text()
    pairs = page.locator(".pairs > li")
    assert pairs.locator(".asked-line bdi").all_inner_texts() == [
        "How do I get a refund?", "如何退款？",
    ]  # fmt: skip
    assert pairs.nth(1).locator("del, ins").all_inner_texts() == ["可以", "不能"]
    assert pairs.first.locator(".reply").nth(1).is_visible()
    page.mouse.wheel(0, 5000)
    assert page.locator("h1").is_visible()
    assert page.locator("#head").bounding_box()["y"] == 0


def test_a_click_filters_and_the_address_says_how(open_page: Open, file: Path) -> None:
    page = open_page(file)
    page.locator(".causes a").first.click()
    shown(page, "2 of 11 tests")
    assert titles(page) == ["How do I get a refund?", "如何退款？"]
    page.locator(".count", has_text="error").click()
    shown(page, "1 of 11 tests")
    assert page.locator(".row .reason").inner_text() == "RuntimeError: no database"
    assert page.locator(".count[aria-current]").inner_text() == "1 error"
    page.locator(".count", has_text="error").click()
    shown(page, "11 tests")
    page.select_option("#tag", "retained")
    page.select_option("#order", "value")
    page.fill("#q", "unique")
    shown(page, "6 of 11 tests")
    page.locator(".row a").nth(1).click()
    again = open_page(file, page.url.partition(".html")[2])
    shown(again, "6 of 11 tests")
    assert titles(again) == titles(page)
    assert again.input_value("#q") == "unique"
    assert again.locator("#detail-head").inner_text() == "question 4"
    page.go_back()
    playwright.expect(page.locator("#detail")).to_be_hidden()
    page.go_back()
    shown(page, "7 of 11 tests")
    page.click("#clear")
    shown(page, "11 tests")
    assert "#" not in page.url


def test_filters_search_and_order(open_page: Open, file: Path) -> None:
    page = open_page(file)
    page.select_option("#kind", "regressed")
    page.select_option("#tag", "retained")
    assert titles(page) == ["如何退款？"]
    page.click("#clear")
    page.select_option("#lang", "en")
    assert titles(page) == ["How do I get a refund?"]
    page.click("#clear")
    page.fill("#q", "UNIQUE3 answer")
    shown(page, "1 of 11 tests")
    assert titles(page) == ["question 3"]
    page.fill("#q", "退款")
    playwright.expect(page.locator(".row .title")).to_have_text(["如何退款？"])
    page.click("#clear")
    page.select_option("#suite", "b.py")
    page.select_option("#order", "run")
    assert titles(page)[:2] == ["Is it open?", "question 0"]


def test_links_to_places_and_of_older_reports(open_page: Open, file: Path) -> None:
    page = open_page(file, "#" + link_of("b.py::kind[4]"))
    assert page.locator("#detail-head").inner_text() == "question 4"
    page.evaluate(f"location.hash = '{link_of('b.py::arabic')}'")
    playwright.expect(page.locator("#detail-head")).to_have_text("كيف أستعيد أموالي؟")
    page.locator("nav a", has_text="The run").click()
    assert page.locator("#run h2").is_visible()
    assert link_of("b.py::arabic") in page.url


def test_light_and_dark(open_page: Open, file: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = open_page(file, color_scheme="light").evaluate(ground)
    page = open_page(file, color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == light
    page.click("#theme")
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_model_has_a_colour_that_is_no_verdict(
    open_page: Open, file: Path, scheme: str
) -> None:
    page = open_page(file, color_scheme=scheme)
    read = "found => getComputedStyle(found).backgroundColor.match(/[0-9]+/g).map(Number)"
    red, green, blue = page.locator(".pairs del").last.evaluate(read)
    assert blue > green > red
    red, green, blue = page.locator(".pairs ins").last.evaluate(read)
    assert red > green > blue
    assert green - blue > 25  # red would have as little green as blue


def test_without_javascript(open_page: Open, file: Path) -> None:
    page = open_page(file, java_script_enabled=False)
    assert page.locator(".count").all_inner_texts() == ["2 regressed", "1 error", "8 passed"]
    assert page.locator(".causes > li").count() == 2
    assert page.locator(".pairs ins").first.is_visible()
    assert page.locator("article.plain").count() == 3
    assert page.locator("article.plain ins").first.is_visible()
    assert page.locator(".pair.unlike").count() == 0  # both replies share words
    assert page.locator("figure svg").first.is_visible()
    assert not page.locator("#filters").is_visible()


def test_paper_has_every_test_that_is_found_and_every_probe(open_page: Open, file: Path) -> None:
    page = open_page(file, color_scheme="dark")
    page.locator(".row a").first.click()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#paper article").count() == 11
    assert page.locator("#paper .pair").count() == 40  # 30 of them in the set
    assert page.locator("#paper .reply").last.is_visible()
    for hidden in ("#filters", "#detail", "#rows", "nav"):
        assert not page.locator(hidden).is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    page.select_option("#kind", "regressed")
    page.evaluate("addEventListener('afterprint', () => { window.printed = true; })")
    assert len(page.pdf()) > 10_000
    assert page.evaluate("window.printed")
    assert page.locator("#paper article").count() == 0


def test_the_picture_for_the_readme(file: Path, tmp_path: Path) -> None:
    """Of a report, from its top to the worst pair of replies."""
    from example_suites.picture import PICTURES, SCALE, WIDTH

    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    # In a process of its own: this one may have another browser open.
    code = (
        "import sys; from example_suites.picture import Path, take; "
        "take(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(file), str(tmp_path), CHROMIUM]
    subprocess.run(command, cwd=ROOT, check=True)
    assert (tmp_path / "matrix.png").stat().st_size < 500_000
    for picture in (tmp_path / "report.png", PICTURES / "report.png"):
        head = picture.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", head[16:])
        assert width == SCALE * WIDTH
        assert 0.5 < height / width < 1.6
        assert picture.stat().st_size < 500_000


@pytest.mark.slow
def test_five_thousand_tests(open_page: Open, tmp_path: Path) -> None:
    random.seed(1)
    words = ["the", "refund", "order", "please", "contact", "support", "within", "您", "可", "以"]
    rows = [
        row_of(f"t{n % 5}.py::test[{n}]", value=random.random(), limit=0.9, tags=[f"tag {n % 9}"],
               prompt=f"question {n}", base=" ".join(random.choices(words, k=90)))
        for n in range(5000)
    ]  # fmt: skip
    write_html(facts_of(rows_of(rows)), tmp_path / "big.html")
    page = open_page(tmp_path / "big.html")
    shown(page, "5,000 tests")
    assert page.locator(".row").count() == 50
    page.click("#more")
    assert page.locator(".row").count() == 100
    page.fill("#q", "question 4321")
    shown(page, "1 of 5,000 tests")
    page.click("#clear")
    shown(page, "5,000 tests")
    for _ in range(120):
        page.keyboard.press("j")
    assert page.locator(".row").count() == 150
    page.evaluate(f"location.hash = '{link_of('t4.py::test[4999]')}'")
    playwright.expect(page.locator("#detail-head")).to_have_text("question 4999")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_is_wider_than_the_screen(open_page: Open, hostile: Path, width: int) -> None:
    page = open_page(hostile, viewport={"width": width, "height": 800})
    assert wider_than(page, width) == []
    for row in (2, 12):  # markup and a very long word
        page.locator(".row a").nth(row).click()
        for name in page.get_by_role("tab").all_inner_texts():
            page.get_by_role("tab", name=name, exact=True).click()
            assert wider_than(page, width) == [], name
        page.keyboard.press("Escape")


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed (make test installs it)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["file", "hostile"])
def test_accessible(
    open_page: Open, request: pytest.FixtureRequest, scheme: str, which: str
) -> None:
    page = open_page(request.getfixturevalue(which), color_scheme=scheme)
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert_accessible(page)


def test_a_passing_run_shows_the_replies_nearest_to_a_limit(
    open_page: Open, tmp_path: Path
) -> None:
    rows = [row_of(f"t.py::{n}", value=n / 10, limit=0.5, prompt=f"question {n}",
                   tuned=f"Go away {n}.") for n in range(5)]  # fmt: skip
    write_html(facts_of(rows_of(rows)), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    assert page.locator("h1").inner_text() == "MERGE"
    assert page.locator(".pairs .asked-line bdi").all_inner_texts() == [
        "question 4", "question 3", "question 2",
    ]  # fmt: skip
    write_html(facts_of({}), tmp_path / "empty.html")
    assert open_page(tmp_path / "empty.html").locator("h1").inner_text() == "NO TESTS"
    undecided = facts_of(rows_of([row_of("t.py::x", value=0.1, limit=0.2)]), exit_code=2)
    write_html(undecided, tmp_path / "undecided.html")
    page = open_page(tmp_path / "undecided.html")
    assert page.locator("h1").inner_text() == "UNDECIDED"
    assert "the run was interrupted" in page.locator(".causes").inner_text()
