"""The ranking of a run's own tuned models, as of reports with one model each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdiff.config.tuned_models import without_name
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.diff.ranking import ranking_of
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.run_facts import RunFacts

SETTLED = ("passed", "inconclusive", "regressed", "failed")
UNSETTLED = ("skipped", "not judged")


def models_ranking(facts: RunFacts) -> Ranking | None:
    """The tuned models of a run, each under its name; None where there are not several."""
    if not facts.models:
        return None
    rows = _by_model(facts)
    return ranking_of(
        {
            name: {
                "base": facts.settings.base or "",
                "tuned": tuned,
                "tests": [_test(row, alone) for alone, row in rows[name].items()],
            }
            for name, tuned in facts.models.items()
        },
        whole=not (facts.stopped or facts.cut_off or facts.uncollected),
    )


def unlike_others(facts: RunFacts) -> dict[str, list[Mapping[str, Any]]]:
    """By model, the rows of its tests that were skipped or not judged, and of another model came to
    a result."""
    rows = _by_model(facts)
    settled = {
        alone for own in rows.values() for alone, row in own.items() if kind_of(row) in SETTLED
    }
    found = {
        name: [row for alone, row in own.items() if alone in settled and kind_of(row) in UNSETTLED]
        for name, own in rows.items()
    }
    return {name: own for name, own in found.items() if own}


def _by_model(facts: RunFacts) -> dict[str, dict[str, Mapping[str, Any]]]:
    """By model, its rows by the id that the test has in a run with this model alone."""
    # A test whose process died says nothing of its model but in its id. One name may begin another.
    longest = sorted(facts.models, key=len, reverse=True)
    tests: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in facts.models}
    for row in facts.rows.values():
        known = [name for name, tuned in facts.models.items() if tuned == row["tuned"]]
        for name in known or longest:
            alone = without_name(row["test"], name)
            if alone != row["test"]:
                tests[name][alone] = row
                break
    return tests


def _test(row: Mapping[str, Any], test: str) -> dict[str, Any]:
    """What ranking needs of a test, as in a JSON report."""
    outcome = kind_of(row).replace(" ", "_")
    return {"test": test, "outcome": outcome} | {
        name: row[name] for name in ("verdicts", "comparisons", "many")
    }
