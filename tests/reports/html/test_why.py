"""The causes as the page shows them, and the replies that stand there in full."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdiff.reports.answer import answer_of
from pytest_llmdiff.reports.html.charts import distributions
from pytest_llmdiff.reports.html.entries import entries
from pytest_llmdiff.reports.html.why import PAIRS, Why, also, causes_by_test, whys, worst_pairs
from pytest_llmdiff.reports.order import worst_first
from tests.support.reports import facts_of, regressed, row_of, rows_of, set_of


def whys_of(rows: list[dict[str, Any]]) -> list[Why]:
    facts = facts_of(rows_of(rows))
    answer = answer_of(facts)
    assert answer is not None
    return whys(answer, rows, distributions(rows))


def pairs_of(rows: list[dict[str, Any]]) -> list[str]:
    """The prompts of the pairs that are shown."""
    tests = entries(worst_first(rows), {row["test"]: n for n, row in enumerate(rows)})
    return [pair["probe"]["prompt"] for pair in worst_pairs(tests)]


def test_a_cause_has_the_values_behind_it() -> None:
    rows = [regressed(f"t.py::test[{n}]", value=n / 10) for n in range(1, 9)]
    rows.append(set_of("t.py::set", members=9, value=0.5, limit=0.2, low=0.4, high=0.6))
    toxic, moved = whys_of(rows)
    assert toxic.cause.of == tuple(f"t.py::test[{n}]" for n in range(8, 2, -1))
    assert toxic.plot is not None
    assert (toxic.plot.name, toxic.plot.count, toxic.plot.broken) == ("toxicity", 8, 6)
    assert toxic.interval is None
    assert moved.plot is None
    assert moved.interval is not None
    assert moved.interval["interval"] == "90 % interval 0.40 to 0.60 over 9"
    assert (moved.interval["value"], moved.interval["limit"]) == ("0.50", "≤ 0.20")


def test_a_cause_that_is_no_limit_has_no_values() -> None:
    broken = row_of("t.py::x", value=0.1, limit=0.2, verdicts=[], message="OSError: disk")
    broken["phases"]["setup"] = "failed"
    (why,) = whys_of([broken])
    assert (why.cause.of, why.plot, why.interval) == (("t.py::x",), None, None)


def test_each_test_knows_its_causes_and_each_remedy_is_told_once() -> None:
    rows = [regressed(f"t.py::{name}", value=0.9) for name in "ab"]
    rows[0]["verdicts"].append({**rows[0]["verdicts"][0], "name": "semantic drift"})
    answer = answer_of(facts_of(rows_of(rows)))
    assert answer is not None
    assert causes_by_test(answer) == {"t.py::a": [1, 2], "t.py::b": [1]}
    assert all(cause.remedy for cause in answer.causes)
    assert not {cause.remedy for cause in answer.causes} & {*also(answer)}
    assert {*answer.next} <= {cause.remedy for cause in answer.causes} | {*also(answer)}


@pytest.mark.parametrize("bad", [0, 1])
def test_three_different_pairs_of_the_worst(bad: int) -> None:
    """Of tests that passed only where all did."""
    rows = [row_of(f"t.py::{n}", value=n / 100, limit=0.2, prompt=f"question {n}",
                   tuned=f"Go away {n}.") for n in range(9)]  # fmt: skip
    for n, prompt in enumerate(["question 8", "alike"] * bad):
        rows.append(regressed(f"t.py::bad[{n}]", value=0.9 - n / 9, prompt=prompt, tuned="Go."))
    same = regressed("t.py::same", value=1.0, prompt="the same", base="Yes.", tuned="Yes.")
    shown = pairs_of([*rows, *[same] * bad])
    # The second of the bad pairs has the replies of the first.
    assert shown == (["question 8"] if bad else ["question 8", "question 7", "question 6"])
    assert len(shown) <= PAIRS
