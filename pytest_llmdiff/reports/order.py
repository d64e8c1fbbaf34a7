"""The order of tests and verdicts in reports: the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.reports.outcomes import KINDS, Kind, kind_of

# Outcomes that need action come first, the most informative ones before the others.
URGENCY: Sequence[Kind] = (
    "regressed", "error", "failed", "not judged", "inconclusive", "skipped", "passed",
)  # fmt: skip
assert set(URGENCY) == set(KINDS)
OPEN: tuple[Kind, ...] = ("regressed", "error", "failed", "not judged", "inconclusive")
NATS = ("nats", "nats per token")  # units of measures without an end
_OUTCOMES = ("regressed", "no limit", "not judged", "inconclusive", "passed")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A verdict that regressed, with the row of its test."""

    row: Mapping[str, Any]
    verdict: Mapping[str, Any]


def broken_verdicts(rows: Iterable[Mapping[str, Any]]) -> list[Broken]:
    """The verdicts that regressed, those furthest beyond their limits first."""
    broken = [
        Broken(row=row, verdict=verdict)
        for row in rows
        for verdict in row["verdicts"]
        if verdict["outcome"] == "regressed"
    ]
    return sorted(broken, key=lambda each: -excess(each.verdict))


def worst_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=_place)


def _place(row: dict[str, Any]) -> tuple[int, float]:
    verdict = decisive(row)
    beyond = 0.0 if verdict is None else signed_excess(verdict)
    return URGENCY.index(kind_of(row)), -beyond


def decisive(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The verdict that decides a test: its worst one, or None if it has none."""
    return min(
        row["verdicts"],
        key=lambda verdict: (_OUTCOMES.index(verdict["outcome"]), -signed_excess(verdict)),
        default=None,
    )


def excess(verdict: Mapping[str, Any]) -> float:
    """How far a value is from its limit, on the measure's own scale."""
    if verdict["value"] is None:
        return float("inf")
    if verdict["limit"] is None:
        return 0.0
    return on_scale(abs(verdict["value"] - verdict["limit"]), verdict["unit"])


def on_scale(distance: float, unit: str) -> float:
    """A distance between two values of a measure, comparable with those of other measures.

    Nearly all measures are shares, probabilities or distances between 0 and 1, and count as they
    are. So do numbers of findings. Log-likelihoods have no end: n nats are a factor exp(-n), and
    count as 1 - exp(-n). A multiple of the limit would put every limit of 0 first.
    """
    return float(-math.expm1(-distance) if unit in NATS else distance)


def signed_excess(verdict: Mapping[str, Any]) -> float:
    """The same, negative if the limit is kept."""
    if verdict["value"] is None or verdict["limit"] is None:
        return excess(verdict)
    above = verdict["value"] > verdict["limit"]
    return excess(verdict) if above == (verdict["bound"] == "at_most") else -excess(verdict)


def comparison_of(
    row: Mapping[str, Any], verdict: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The comparison that best illustrates a verdict: its own, the worst one of a set, or else the
    only one of the test."""
    comparisons: list[Mapping[str, Any]] = row["comparisons"]
    if verdict is not None:
        probe = verdict["probe"]
        if verdict["set"] and verdict["set"]["worst"]:
            probe = verdict["set"]["worst"][0]["probe"]
        if probe is not None:
            return next((c for c in comparisons if c["probe"] == probe), None)
    return comparisons[0] if len(comparisons) == 1 else None


def short(test: str) -> str:
    """A node id without its folders."""
    file, sep, inside = test.partition("::")
    return file.rpartition("/")[2] + sep + inside
