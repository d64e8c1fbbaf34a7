"""The open test of the HTML report: a panel beside the list, or a page of its own on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import AXE, Open, assert_accessible, tab
from tests.support.every_outcome import run_every_outcome, write_every_outcome
from tests.support.reports import facts_of, hostile_rows, looked, regressed, rows_of

playwright = pytest.importorskip("playwright.sync_api")
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def test_a_test_opens_beside_the_list(open_page: Open, file: Path) -> None:
    page = open_page(file, viewport=WIDE)
    page.locator(".row a").nth(1).click()
    panel = page.locator("#detail")
    assert panel.locator("h2").inner_text() == "如何退款？"
    assert panel.locator("h2").get_attribute("lang") == "zh"
    assert panel.locator(".reply").all_inner_texts() == [
        "您可以在三十天内退款。", "您不能在三十天内退款。",
    ]  # fmt: skip
    assert panel.locator("del, ins").all_inner_texts() == ["可以", "不能"]
    assert 'pytest "a.py::rude[2]" --llm-base=models/base' in panel.locator(".again").inner_text()
    row = page.locator(".row a").nth(1)
    assert row.get_attribute("aria-current") == "true"
    beside = panel.bounding_box()["x"]
    assert row.bounding_box()["x"] + row.bounding_box()["width"] <= beside
    panel.get_by_role("button", name="Close").click()
    assert not panel.is_visible()
    assert "#" not in page.url


def test_keys(open_page: Open, file: Path) -> None:
    page = open_page(file, viewport=WIDE)
    focused = "document.activeElement.querySelector('.title')?.textContent"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "How do I get a refund?"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "如何退款？"
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    head = page.locator("#detail-head")
    assert head.inner_text() == "How do I get a refund?"
    assert page.evaluate("document.activeElement.id") == "detail-head"
    page.keyboard.press("j")
    assert head.inner_text() == "如何退款？"
    page.keyboard.press("k")
    page.keyboard.press("k")  # the first one
    assert head.inner_text() == "How do I get a refund?"
    page.keyboard.press("Escape")
    assert not page.locator("#detail").is_visible()
    assert page.evaluate(focused) == "How do I get a refund?"
    page.keyboard.press("/")
    page.keyboard.type("jk?")
    assert page.input_value("#q") == "jk?"
    assert not page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_tabs(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9)
    row["comparisons"][0] |= {
        "attention": looked("refund"),
        "leak": {"dataset": "support.json", "number": 7, "kind": "same"},
        "nearest": [{"dataset": "support.json", "number": 1, "prompt": "p", "answer": "a",
                     "similarity": 0.5, "leak": None}],
    }  # fmt: skip
    write_html(facts_of(rows_of([row, regressed("t.py::other", value=0.8)])), tmp_path / "r.html")
    page = open_page(tmp_path / "r.html", viewport=WIDE)
    page.locator(".row a").first.click()
    tabs = page.get_by_role("tab")
    assert tabs.all_inner_texts() == ["Replies", "Attention", "Origin", "Raw"]
    leak = page.locator("#detail .fold", has_text="In the training data")
    leak.locator("summary").click()
    assert "support.json 7" in leak.inner_text()
    assert "support.json" in tab(page, "Origin").inner_text()
    page.keyboard.press("ArrowRight")
    assert tabs.last.get_attribute("aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "tab-raw"
    assert '"measure": "toxicity"' in page.get_by_role("tabpanel").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    again = open_page(tmp_path / "r.html", page.url.partition(".html")[2], viewport=WIDE)
    assert again.locator("[role=tab][aria-selected=true]").inner_text() == "Origin"
    page.keyboard.press("j")  # of which there is no origin
    assert tabs.all_inner_texts() == ["Replies", "Raw"]
    assert page.locator("#detail .reply").first.is_visible()


def test_the_members_of_a_set(open_page: Open, file: Path) -> None:
    page = open_page(file, viewport=WIDE)
    page.locator(".row", has_text="30 probes").locator("a").click()
    members = page.locator(".member")
    assert members.count() == 20
    assert members.locator("bdi").all_inner_texts()[:3] == ["member 29", "member 28", "member 27"]
    page.locator(".rest").click()
    assert members.count() == 30
    members.nth(24).click()
    assert page.locator(".member[aria-current] bdi").inner_text() == "member 21"
    assert page.locator("#detail .asked p").inner_text() == "member 21"
    again = open_page(file, page.url.partition(".html")[2], viewport=WIDE)
    assert again.locator(".member[aria-current] bdi").inner_text() == "member 21"


def test_a_phone_shows_one_or_the_other(open_page: Open, file: Path) -> None:
    page = open_page(file, viewport=PHONE, has_touch=True)
    page.locator(".row a").nth(1).tap()
    panel = page.locator("#detail")
    assert panel.bounding_box() | {"x": 0, "y": 0} == {"x": 0, "y": 0, **PHONE}
    assert page.locator("main").evaluate("found => found.inert")
    page.get_by_role("button", name="Next test").tap()
    assert panel.locator("h2").inner_text() == "Is it open?"
    assert panel.locator(".reason").inner_text() == "RuntimeError: no database"
    page.go_back()
    assert not panel.is_visible()
    page.locator(".row a").nth(1).tap()
    page.get_by_role("button", name="All tests").tap()
    assert not panel.is_visible()
    assert not page.locator("main").evaluate("found => found.inert")


def test_the_command_can_be_copied(open_page: Open, file: Path) -> None:
    page = open_page(file, permissions=["clipboard-read", "clipboard-write"])
    page.locator(".row a").first.click()
    page.click(".again button")
    playwright.expect(page.locator(".again button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == (
        'pytest "a.py::rude[1]" --llm-base=models/base --llm-tuned=out/adapter'
    )


def test_a_real_run(open_page: Open, project: pytest.Pytester) -> None:
    write_every_outcome(project.path)
    run_every_outcome(project, "--llmdiff-html=r.html", "-n2")
    page = open_page(project.path / "r.html", viewport=WIDE)
    head = page.locator("#head").inner_text()
    for fact in ("DO NOT MERGE", "exit code 1", "took", "date"):
        assert fact in head
    page.locator(".count", has_text="inconclusive").click()
    page.locator(".row", has_text="test_set").locator("a").click()
    page.locator(".rest").click()
    assert page.locator(".member").count() == 46
    page.locator(".member").last.click()
    assert page.locator("#detail .reply").count() == 2
    page.locator(".count", has_text="error").click()
    assert "a fixture is broken" in page.locator(".row .reason").first.inner_text()
    assert page.evaluate("window.injected") is None


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed (make test installs it)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(open_page: Open, tmp_path: Path, file: Path, scheme: str) -> None:
    hostile = list(hostile_rows().values())[:1]
    write_html(facts_of(rows_of(hostile)), tmp_path / "r.html")
    page = open_page(tmp_path / "r.html", color_scheme=scheme, viewport=WIDE)
    page.locator(".row a").first.click()
    for viewport in (WIDE, PHONE):
        page.set_viewport_size(viewport)
        for name in page.get_by_role("tab").all_inner_texts():
            tab(page, name)
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            assert_accessible(page)
    page = open_page(file, color_scheme=scheme, viewport=WIDE)
    page.locator(".row", has_text="30 probes").locator("a").click()
    assert_accessible(page)
