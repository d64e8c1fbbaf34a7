"""What explains a test, on its tabs in the HTML report."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import Open, tab
from tests.support.reports import facts_of, regressed, rows_of


def test_token_by_token(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9, base="You can", tuned="Why?\n")
    row["comparisons"][0]["seen"] = {
        "at": 0, "base_likely": [["You", 0.7]], "tuned_likely": [["Why", 0.9]],
        "base": [["You", 6.0, -0.36, -3.9], [" can", 0.01, -0.1, -0.1]],
        "tuned": [["Why", 6.0, -4.0, -0.1], ["?\n", 1.0, -0.7, -0.2]],
    }  # fmt: skip
    write_html(facts_of(rows_of([row])), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    page.locator(".row a").first.click()
    tab(page, "Tokens")
    page.locator(".tokens").nth(1).wait_for()
    assert page.locator(".tokens").all_inner_texts() == ["You can", "Why?⏎\n"]
    first, second = page.locator(".tokens").first.locator("span").all()
    assert first.get_attribute("title") == "KL 6 nats; probability base 0.698, tuned 0.0202"
    colour = "element => getComputedStyle(element).backgroundColor"
    assert first.evaluate(colour) != second.evaluate(colour)
    assert page.locator(".block", has_text="Next tokens").locator("td").all_inner_texts() == [
        "You", "0.70", "Why", "0.90",
    ]  # fmt: skip
