"""Which of several models to keep: paired by probe, and never what the probes cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.__main__ import main
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.diff.ranking import ranking_of
from tests.support.json_reports import report, set_verdict, written

PROBES = 60
DRIFT = [n / 200 for n in range(PROBES)]


def run(
    drift: Sequence[float | None],
    right: Sequence[float] = (1.0,) * PROBES,
    *,
    outcome: str = "passed",
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """A report with a test of drift, which should be low, and one of right answers."""
    known = [value for value in drift if value is not None]
    mean, share = sum(known) / len(known), sum(right) / len(right)
    sets = {
        "t.py::test_drift": set_verdict(mean, mean - 0.1, mean + 0.1, name="semantic drift"),
        "t.py::test_right": set_verdict(
            share, share - 0.1, share, name="accuracy", limit=0.2, bound="at_least"
        ),
    }
    for (_, verdict), values, over in zip(sets.items(), (drift, right), (None, 0.0), strict=True):
        members = [[f"p{n}", value] for n, value in enumerate(values)]
        verdict["set"] |= {"members": members, "over": over}
    return report(
        {
            "t.py::test_drift": outcome,
            "t.py::test_right": "passed",
            **dict.fromkeys(more, "passed"),
        },
        verdicts={test: [verdict] for test, verdict in sets.items()},
    )


def shifted(by: float) -> list[float]:
    return [value + by + (n % 3) / 100 for n, value in enumerate(DRIFT)]


def keep(**reports: dict[str, Any]) -> tuple[str | None, str]:
    found = ranking_of(reports)
    return found.keep, found.because


def real(found: Ranking) -> list[tuple[str, str, str]]:
    return [(found.columns[g.column].name, g.better, g.worse) for g in found.gaps if g.real]


def test_what_is_really_better_is_kept_and_the_reason_is_a_number() -> None:
    found = ranking_of({"a": run(shifted(0.2)), "b": run(DRIFT), "c": run(shifted(0.6))})
    assert real(found) == [
        ("semantic drift", "b", "a"), ("semantic drift", "a", "c"), ("semantic drift", "b", "c")
    ]  # fmt: skip
    assert [(row.report, row.front) for row in found.rows] == [
        ("b", True), ("a", False), ("c", False)
    ]  # fmt: skip
    assert found.keep == "b"
    assert found.because.startswith("semantic drift 0.21 lower than a (0.")
    assert ", 60 probes); semantic drift 0.61 lower than c (" in found.because
    gap = found.gaps[0]
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low < gap.value < gap.high


def test_equal_models_and_few_probes_show_no_difference() -> None:
    nothing = (None, "no difference that these probes can show")
    assert keep(a=run(DRIFT), b=run(DRIFT), c=run(DRIFT)) == nothing
    assert keep(a=run(shifted(0.2)[:4]), b=run(DRIFT[:4])) == nothing


def test_a_gain_that_costs_something_is_the_users_choice() -> None:
    harmful = run(shifted(0.2))
    shy = run(DRIFT, [0.0] * 30 + [1.0] * 30)
    chosen, because = keep(a=harmful, b=shy)
    assert chosen is None
    assert because.startswith("each is better in something, so choose what counts: ")
    assert "b: semantic drift 0.21 lower than a" in because
    assert "a: accuracy 0.50 higher than b" in because
    found = ranking_of({"a": harmful, "b": shy, "c": run(shifted(0.6), [0.0] * 30 + [1.0] * 30)})
    assert [row.report for row in found.rows if not row.front] == ["c"]
    (first,) = (row for row in found.rows if row.report == "a")
    assert first.gain == 1.0
    assert first.harm == pytest.approx(0.3575)


@pytest.mark.parametrize("outcome", ["regressed", "inconclusive", "not_judged", "error"])
def test_what_did_not_pass_is_never_kept(outcome: str) -> None:
    best = run(DRIFT, outcome=outcome)
    chosen, because = keep(a=best, b=run(shifted(0.2)), c=run(shifted(0.6)))
    assert chosen == "b"
    assert "lower than c" in because
    assert keep(a=best, b=run(shifted(0.2))) == (
        "b",
        "it keeps every limit, and "
        + ("the other does not" if outcome == "regressed" else "of the other that is not shown"),
    )
    assert keep(a=best, b=best) == (
        None, "none keeps every limit; a is nearest, with 1 of 2 tests not passed"
    )  # fmt: skip


def test_a_test_that_is_missing_decided_nothing() -> None:
    whole = run(shifted(0.2), more=["t.py::test_more"])
    for a, b in ((run(DRIFT), whole), (whole, run(DRIFT))):
        chosen, because = keep(a=a, b=b, c=run(shifted(0.6)))
        assert chosen is None
        assert "lacks 1 of " in because


@pytest.mark.parametrize("outcome", [None, "skipped"])
def test_a_model_that_was_not_tested_is_no_reason_to_keep_another(outcome: str | None) -> None:
    tests = {} if outcome is None else {"t.py::test_drift": outcome}
    chosen, because = keep(a=run(DRIFT), b=report(tests))
    assert chosen is None
    assert because == "of b, no test passed or failed, so there is nothing to choose"


def test_none_is_chosen_of_a_run_that_ended_early() -> None:
    found = ranking_of({"a": run(DRIFT), "b": run(DRIFT, outcome="regressed")}, whole=False)
    assert found.keep is None
    assert found.because.startswith("the run ended before all tests of all models had run")


def test_a_probe_that_one_model_was_not_judged_at_makes_the_set_incomparable() -> None:
    found = ranking_of({"a": run([None, *shifted(0.2)[1:]]), "b": run(DRIFT)})
    assert [found.columns[gap.column].name for gap in found.gaps] == ["accuracy"]
    assert found.keep is None


def test_reports_are_compared_like_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(tmp_path, a=run(shifted(0.2)), b=run(DRIFT), c=run(shifted(0.6)))
    assert main(["compare", *files, f"--markdown={tmp_path / 'out.md'}"]) == 0
    *_, front, last = capsys.readouterr().out.splitlines()
    assert front == f"not beaten by any other: {files[1]}"
    assert last.startswith(f"keep: {files[1]}, because semantic drift 0.21 lower than {files[0]} (")
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert text.startswith("## keep&#58; ")
    several = run(DRIFT) | {"ranking": {"rows": []}}
    assert main(["compare", *files[:2], *written(tmp_path, d=several)]) == 2
    assert "is of several tuned models" in capsys.readouterr().err
