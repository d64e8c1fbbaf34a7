"""What explains a test, on its tabs in the HTML report."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import Open, tab
from tests.support.reports import facts_of, looked, regressed, rows_of


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


def test_where_the_models_look(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9)
    row["comparisons"][0]["attention"] = looked("refund\n")
    write_html(facts_of(rows_of([row])), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    page.locator(".row a").first.click()
    tab(page, "Attention")
    page.locator(".map").nth(1).wait_for()
    assert page.locator(".map").first.locator("th").all_inner_texts() == [
        "<s>", "refund⏎", "refund⏎",
    ]  # fmt: skip
    assert page.locator(".map tbody td").all_inner_texts() == ["3", "5", "6", ""]
    weak, strong = page.locator(".map tbody td").all()[:2]
    colour = "element => getComputedStyle(element).backgroundColor"
    assert weak.evaluate(colour) != strong.evaluate(colour)
    words = page.locator(".block", has_text="Words of the prompt").locator("td")
    assert words.all_inner_texts() == ["refund", "0.40", "0.10", "-0.30"]


def test_word_by_word(open_page: Open, tmp_path: Path) -> None:
    row = regressed("t.py::test[1]", value=0.9, prompt="a refund, not a voucher")
    row["comparisons"][0]["words"] = {
        "method": "leave-one-out", "of": "log-likelihood of the tuned reply", "unit": "nats",
        "left_out": "removed", "segmented_by": None, "text": "a refund, not",
        "base": [-8.75, -9.0], "tuned": [-8.5, -9.0],
        "scores": [["a", 0, 1, 0.0, 0.0], ["refund", 2, 8, 0.25, 2.0], [",", 8, 9, None, 0.0],
                   ["not", 10, 13, 0.0, -1.5]],
    }  # fmt: skip
    write_html(facts_of(rows_of([row])), tmp_path / "report.html")
    page = open_page(tmp_path / "report.html")
    page.locator(".row a").first.click()
    tab(page, "Words")
    page.locator(".words").nth(1).wait_for()
    assert page.locator(".words").all_inner_texts() == ["a refund, not"] * 2
    _, refund, _, less = page.locator(".words").first.locator("span").all()
    assert refund.get_attribute("title") == "+2"
    colour = "element => getComputedStyle(element).backgroundColor"
    line = "element => getComputedStyle(element).textDecorationLine"
    assert refund.evaluate(colour) != less.evaluate(colour)
    assert (refund.evaluate(line), less.evaluate(line)) == ("none", "underline")
    cells = page.locator(".block", has_text="scores for").locator("td").all_inner_texts()
    assert cells[4:8] == ["refund", "0.25", "2", "1.75"]
