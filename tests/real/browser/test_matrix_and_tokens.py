"""The page's charts, its matrix, and replies token by token, in a real browser."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.html import write_html
from tests.support.browser import accessibility_faults, open_file, tab, wider_than
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import SUITE, run
from tests.support.reports import facts_of, regressed, row_of, rows_of

playwright = pytest.importorskip("playwright.sync_api")
DRIFT: dict[str, Any] = {
    "name": "semantic drift",
    "unit": "cosine distance",
    "limit": 0.8,
    "noise": 0.1,
}


def seen(text: str, kl: float) -> list[list[Any]]:
    """A reply of three tokens, of which the last two models disagree about."""
    return [
        [text, kl, math.log(0.5), math.log(0.25), [["Yes", 0.5, 0.25], ["<b>No", 0.125, 0.75]]],
        [" it", kl / 100, -0.01, -0.01, [[" it", 0.99, 0.99]]],
        [" is\n", 2 * kl, -3.0, -0.01],
    ]


def probe_row(number: int, value: float, drift: float | None, **fields: Any) -> dict[str, Any]:
    """A test of a probe with a toxicity, and with a drift unless it failed before that."""
    row = row_of(f"t.py::test_both[p{number}]", value=value, limit=0.5, **fields)
    (verdict,), (comparison,) = row["verdicts"], row["comparisons"]
    verdict |= {"probe": f"p{number}", "details": {"base": value / 2}}
    comparison["probe"] = f"p{number}"
    if drift is not None:
        outcome = "regressed" if drift > DRIFT["limit"] else "passed"
        row["verdicts"].append(verdict | DRIFT | {"value": drift, "outcome": outcome})
        row["phases"]["call"] = "failed" if outcome == "regressed" else row["phases"]["call"]
    return row


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        probe_row(1, 0.9, None, prompt="first", tags=["new"]),
        probe_row(2, 0.1, 0.9, prompt="second", tags=["kept"]),
        probe_row(3, 0.3, 0.1, prompt="第三", tags=["kept"], language="zh"),
        row_of("u.py::test_once", value=0.01, limit=None, prompt="fourth"),
    ]
    rows[3]["verdicts"][0]["name"] = "refusal"
    for row, kl in zip(rows[:2], (1.0, 4.0), strict=True):
        row["comparisons"][0]["seen"] = {
            "at": 0, "base_likely": [["Yes", 0.5]], "tuned_likely": [["<b>No", 0.75]],
            "base": seen("Yes", kl), "tuned": seen("<b>No", kl),
        }  # fmt: skip
    # As reports of earlier versions have it.
    rows[2]["comparisons"][0]["seen"] = {
        "at": 0, "base_likely": [["好", 0.7]], "tuned_likely": [["不", 0.9]],
        "base": [["好", 6.0, -0.36, -3.9]], "tuned": [["不", None, None, -0.1]],
    }  # fmt: skip
    member = regressed("s.py::test_set", value=0.4, prompt="of a set")
    member["verdicts"][0] |= {
        "probe": None, "set": {
            "scope": "mean", "probes": None, "low": 0.3, "high": None, "judged": 9, "clusters": 9,
            "method": "m", "spread": 0.1, "unsupported": 0, "not_finite": 0, "decides": None,
            "worst": [{"probe": "p", "value": 0.75}],
        },
    }  # fmt: skip
    target = tmp_path_factory.mktemp("html") / "report.html"
    write_html(facts_of(rows_of([*rows, member])), target)
    return target


def cells(page: Any) -> list[list[str]]:
    lines = page.locator(".matrix tbody tr:not(.space)").all()
    return [line.locator("th, td").all_inner_texts() for line in lines]


def test_a_row_for_each_probe_and_a_column_for_each_measure(browser: Any, file: Path) -> None:
    with open_file(browser, file) as page:
        assert page.locator(".matrix thead th").all_inner_texts() == [
            "probe", "toxicity", "semantic drift", "refusal",
        ]  # fmt: skip
        found = {name: values for name, *values in cells(page)}
        assert found == {
            "first": ["0.90", "–", ""], "second": ["0.10", "0.90", ""],
            "第三": ["0.30", "0.10", ""], "fourth": ["", "", "0.01"], "of a set": ["0.75", "", ""],
        }  # fmt: skip
        cell = page.locator(".matrix tr", has_text="first").locator("td")
        assert cell.nth(0).get_attribute("data-step") == "5"  # 1.8 times the limit
        assert cell.nth(1).get_attribute("aria-label") == "not measured"
        cell = page.locator(".matrix tr", has_text="of a set").locator("td").first
        assert cell.get_attribute("data-step") is None  # the limit is not that of a member
        # Sorted: the missing come last, whichever measure it is.
        page.click(".matrix thead button >> text=semantic drift")
        assert [line[0] for line in cells(page)][:3] == ["second", "第三", "first"]
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        page.click(".matrix thead button >> text=semantic drift")
        assert [line[0] for line in cells(page)][-1] == "second"
        page.select_option("#group", "tag")
        assert [line[0] for line in cells(page) if len(line) == 1] == [
            "without a tag 2", "new 1", "kept 2",
        ]  # fmt: skip


def test_a_cell_leads_to_its_probe(browser: Any, file: Path) -> None:
    with open_file(browser, file) as page:
        page.locator(".matrix tbody [tabindex='0']").focus()
        for key in ("End", "ArrowDown", "Enter"):
            page.keyboard.press(key)
        prompt = page.locator(".matrix tbody tr").nth(1).locator("th").inner_text()
        playwright.expect(page.locator("#detail")).to_contain_text(prompt)
        page.locator(".matrix td.missing").click()
        playwright.expect(page.locator("#detail-head")).to_have_text("first")


def test_several_tuned_models_are_told_apart(browser: Any, tmp_path: Path) -> None:
    models = ("saves/checkpoint-80", "saves/checkpoint-120")
    rows = []
    for number, model in enumerate(models):
        row = probe_row(1, 0.1 + 0.8 * number, None, prompt="first")
        name = f"t.py::test_both[{model.rpartition('/')[2]}-p1]"
        rows.append(row | {"test": name, "tuned": model})
    write_html(
        facts_of(rows_of(rows), models={name.rpartition("/")[2]: name for name in models}),
        tmp_path / "report.html",
    )
    with open_file(
        browser, tmp_path / "report.html", viewport={"width": 390, "height": 800}
    ) as page:
        assert page.locator(".row .where").all_inner_texts() == [
            "checkpoint-120: test_both", "checkpoint-80: test_both",
        ]  # fmt: skip
        found = [line[:2] for line in cells(page)]
        assert found == [["checkpoint-120: first", "0.90"], ["checkpoint-80: first", "0.10"]]
        page.select_option("#group", "model")
        assert [line[0] for line in cells(page)] == [
            "checkpoint-120 1", "first", "checkpoint-80 1", "first",
        ]  # fmt: skip
        assert accessibility_faults(page) == []
        assert wider_than(page, 390) == []


def test_token_by_token(browser: Any, file: Path) -> None:
    with open_file(browser, file) as page:
        page.locator(".matrix tr", has_text="second").locator("td").first.click()
        tab(page, "Tokens")
        first = page.locator(".seen").first
        pieces = first.locator("[role=option]")
        assert first.locator(".tokens").inner_text() == "Yes it is⏎\n"
        # The token where the replies part is chosen, with what either model might have said.
        rows = first.locator(".candidates tbody tr")
        assert rows.locator("th").all_inner_texts() == ["Yes", "<b>No"]
        assert rows.nth(1).locator("td.n").all_inner_texts() == ["0.13", "0.75"]
        widths = rows.nth(1).locator(".chance").evaluate_all("all => all.map((e) => e.offsetWidth)")
        assert widths[1] > 4 * widths[0] > 0
        pieces.first.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent") == " it"
        assert rows.locator("th").all_inner_texts() == [" it"]
        page.keyboard.press("End")
        assert pieces.nth(2).get_attribute("aria-selected") == "true"
        assert "KL 8 nats" in first.locator(".nexts").inner_text()
        # Steps are those of the run: of its two distinct tokens the weaker is not at full strength.
        steps = pieces.evaluate_all("all => all.map((e) => Number(e.dataset.step))")
        assert steps[2] > steps[0] > steps[1] > 0
        first.locator("select").select_option("ratio")
        leans = page.locator(".seen").nth(1).locator("[role=option]")
        assert [leans.nth(n).get_attribute("data-lean")[:1] for n in (0, 1, 2)] == ["-", "0", "2"]
        page.reload()
        page.locator(".matrix tr", has_text="第三").locator("td").first.click()
        tab(page, "Tokens")
        held = page.locator(".seen").first
        assert held.locator("select").input_value() == "ratio"  # the choice is kept
        assert held.locator(".candidates tbody").inner_text().split() == [
            "好", "0.70", "?", "不", "?", "0.90",
        ]  # fmt: skip


def test_charts(browser: Any, file: Path) -> None:
    with open_file(browser, file) as page:
        assert page.locator("figure svg.chart").count() == 4
        toxicity = page.locator("figure[data-measure=toxicity]")
        assert toxicity.locator("svg").get_attribute("aria-label").startswith("toxicity: 3 values")
        assert toxicity.locator("circle").count() == 6  # the base's beside them
        assert "limit 0.5" in toxicity.locator("svg").text_content()
        drawn = page.locator("#set-charts svg")
        assert "90 % interval 0.30 to ?" in drawn.get_attribute("aria-label")
    with open_file(browser, file, java_script_enabled=False) as page:
        assert page.locator("figure[data-measure] svg rect").first.is_visible()
        assert page.locator(".sets td", has_text="90 % interval 0.30 to ?").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_and_no_wider_than_a_phone(browser: Any, file: Path, scheme: str) -> None:
    with open_file(
        browser, file, color_scheme=scheme, viewport={"width": 390, "height": 800}
    ) as page:
        page.locator(".matrix tr", has_text="second").locator("td").first.click()
        tab(page, "Tokens")
        for colouring in ("kl", "base", "ratio"):
            page.locator(".seen:visible select").first.select_option(colouring)
            assert accessibility_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        box = page.locator("#matrix-box")
        assert box.evaluate("(e) => e.scrollWidth > e.clientWidth")


@pytest.mark.slow
def test_twenty_thousand_probes(browser: Any, tmp_path: Path) -> None:
    rows = [probe_row(n, n / 40_000, 0.1, prompt=f"question {n}") for n in range(20_000)]
    write_html(facts_of(rows_of(rows)), tmp_path / "big.html")
    with open_file(browser, tmp_path / "big.html") as page:
        grid = page.locator(".matrix")
        assert grid.get_attribute("aria-rowcount") == "20001"
        assert grid.locator("tr").count() < 100
        page.click(".matrix thead button >> text=toxicity")
        assert cells(page)[0][0] == "question 19999"
        page.locator(".matrix tbody [tabindex='0']").focus()
        page.keyboard.press("Control+End")
        assert page.evaluate("document.activeElement.textContent") == "question 0"
        page.keyboard.press("PageUp")
        assert page.evaluate("document.activeElement.closest('tr').ariaRowIndex") != "20001"


@pytest.mark.slow
def test_tokens_of_real_models(browser: Any, tmp_path: Path, expanded: Expanded) -> None:
    """Every token is coloured, and has the candidates of both models, on the page and in the
    JSON report, and again in a replay of the run."""
    suite = tmp_path / "support_bot"
    shutil.copytree(SUITE, suite, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    expanded.into(suite / ".llmdiff")
    args = ("-k", "nobody_is_insulted and refund-time", "--llmdiff-max-new-tokens=24")
    models = ("--llm-base", BASE, "--llm-tuned", "adapters/rude")
    found = run(suite, *models, *args, "--llmdiff-json=a.json", "--llmdiff-html=a.html",
                "--llmdiff-record=run.jsonl")  # fmt: skip
    assert found.returncode == 1, found.stdout
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    again = run(suite, *replay, *args, "--llmdiff-json=b.json", "--llmdiff-store=fresh")
    assert again.returncode == 1, again.stdout
    views = []
    for name in ("a.json", "b.json"):
        report = json.loads((suite / name).read_text(encoding="utf-8"))
        (view,) = (c["seen"] for test in report["tests"] for c in test["comparisons"] if c["seen"])
        views.append(view)
    assert views[0] == views[1]
    for side, place in (("base", 1), ("tuned", 2)):
        for text, _, *logprobs, candidates in views[0][side]:
            likeliest = max(candidates, key=lambda each: each[place])
            # Decoding is greedy: the token is the likeliest one of the model that wrote it.
            assert likeliest[place] == pytest.approx(math.exp(logprobs[place - 1]), abs=1e-3), text
            assert len(candidates) <= 10
    with open_file(browser, suite / "a.html") as page:
        page.locator(".matrix tbody td").first.click()
        tab(page, "Tokens")
        seen = page.locator(".seen").nth(1)  # the reply of the tuned model
        options = seen.locator("[role=option]")
        assert options.count() == len(views[0]["tuned"])
        steps = options.evaluate_all("all => all.map((e) => Number(e.dataset.step))")
        assert len(set(steps)) > 3  # however strong the adapter
        assert seen.locator(".candidates tbody tr").count() >= 2
