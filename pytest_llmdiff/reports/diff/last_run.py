"""What the JSON report of the last run says of how far the values of its sets scatter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdiff.reports.diff.reading import (
    checked,
    number_of,
    read_report,
    tests_of,
    verdicts_of,
)
from pytest_llmdiff.verdicts.power import Spread


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """By test, without the parameters in brackets: the spreads of its measures, and on which share
    of the labelled replies its judge erred."""

    spreads: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    judge_errors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def last_run(path: Path) -> LastRun:
    """Reads a report.

    Raises:
        ConfigError: it cannot be read, or is damaged.
    """
    report = read_report(path)
    return checked(lambda: _of(report, f"the last run ({path.name})"))


def _of(report: Mapping[str, Any], source: str) -> LastRun:
    spreads: dict[str, dict[str, Spread]] = {}
    errors: dict[str, tuple[float, ...]] = {}
    for name, test in tests_of(report).items():
        case = name.partition("[")[0]
        for (measure, _, _), verdict in verdicts_of(test):
            if (found := verdict["set"]) is None:
                continue
            spread, questions = number_of(found["spread"]), number_of(found["clusters"])
            known = spreads.setdefault(case, {})
            # Of several models the one whose values scatter most: what it shows, the others do.
            if spread is not None and questions and spread >= _value(known.get(measure)):
                known[measure] = Spread(value=spread, questions=int(questions), source=source)
            if (error := _error_of(verdict["details"].get("judge"))) is not None:
                errors[case] = (max(error, *errors.get(case, ())),)
    return LastRun(spreads=spreads, judge_errors=errors)


def _value(spread: Spread | None) -> float:
    return 0.0 if spread is None else spread.value


def _error_of(judge: object) -> float | None:
    """The larger share of the two kinds of replies, right and wrong ones, on which it erred."""
    if not isinstance(judge, Mapping):
        return None
    shares = [number_of(judge[name][0]) for name in ("sensitivity", "specificity")]
    return max((1 - share for share in shares if share is not None), default=None)
