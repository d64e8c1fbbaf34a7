"""What a test leaves for the reports: everything, or the worst of very much with its count."""

from __future__ import annotations

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.training.values import Leak, Nearest
from pytest_llmdiff.reports.row_builder import KEPT, RowBuilder
from pytest_llmdiff.verdicts.verdict import judge


def comparison(number: int) -> Comparison:
    return Comparison(
        probe=make_probe(f"question {number}"),
        base=Reply(text="base"),
        tuned=Reply(text="base" if number % 2 else "tuned"),
    )


def kept_of(values: list[float], limit: float = 0.5) -> RowBuilder:
    kept = RowBuilder()
    for number, value in enumerate(values):
        found = comparison(number)
        kept.show(found, lambda: None)
        for verdict in judge(Measurement(name="drift", value=value, unit="u"), at_most=limit):
            kept.judge(found, verdict)
    return kept


@given(st.lists(st.floats(0, 1), max_size=12))
def test_of_few_everything_is_kept_in_order(values: list[float]) -> None:
    row = kept_of(values).row()
    assert [v["value"] for v in row["verdicts"]] == values
    assert [c["prompt"] for c in row["comparisons"]] == [
        f"question {n}" for n in range(len(values))
    ]
    assert (row["compared"], row["same"], row["many"]) == (len(values), len(values) // 2, {})


def test_of_very_many_the_worst_are_kept_with_their_replies_and_the_count() -> None:
    count = 3 * KEPT
    values = [(n * 7919 % count) / count for n in range(count)]
    row = kept_of(values).row()
    worst = sorted(values)[-KEPT:]
    assert sorted(v["value"] for v in row["verdicts"]) == worst
    assert {v["probe"] for v in row["verdicts"]} <= {c["probe"] for c in row["comparisons"]}
    assert len(row["comparisons"]) <= 2 * KEPT
    assert row["compared"] == count
    assert row["many"] == {
        "drift": {
            "count": count,
            "regressed": sum(value > 0.5 for value in values),
            "median": median(values),
            "largest": max(values),
            "unit": "u",
        }
    }


def test_one_failure_among_very_many_is_kept_at_any_position() -> None:
    for place in (0, KEPT, 2 * KEPT):
        values = [0.4] * (2 * KEPT + 1)
        values[place] = 0.6
        row = kept_of(values).row()
        assert [v["probe"] for v in row["verdicts"] if v["outcome"] == "regressed"] == [
            comparison(place).probe.id
        ]


def test_what_is_not_judged_goes_before_what_passed() -> None:
    kept = RowBuilder()
    for number in range(KEPT + 1):
        unsupported = "no letters" if number == KEPT else None
        m = Measurement(name="drift", value=0.1, unsupported=unsupported)
        (verdict,) = judge(m, at_most=0.5)
        assert kept.judge(None, verdict) == (number < KEPT)
    assert [v["outcome"] for v in kept.row()["verdicts"]].count("not judged") == 1


def test_an_explanation_reaches_the_rows_of_its_prompt() -> None:
    kept = RowBuilder()
    for number in range(2):
        kept.show(comparison(number), lambda: None)
    leak = Leak(dataset="d", number=3, prompt="p", kind="same")
    kept.explain(comparison(1), Explanation(kinds={"nearest": Nearest(leak=leak)}))
    assert [c["leak"] and c["leak"]["number"] for c in kept.row()["comparisons"]] == [None, 3]
