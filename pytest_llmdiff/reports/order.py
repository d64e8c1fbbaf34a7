"""What is shown first: the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.reports.outcomes import KINDS, Kind, kind_of

# Of outcomes: those that ask for something come first, the most telling ones before the others.
URGENCY: Sequence[Kind] = (
    "regressed", "error", "failed", "not judged", "inconclusive", "skipped", "passed",
)  # fmt: skip
assert set(URGENCY) == set(KINDS)
OPEN: tuple[Kind, ...] = ("regressed", "error", "failed", "not judged", "inconclusive")
_OUTCOMES = ("regressed", "no limit", "not judged", "inconclusive", "passed")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A verdict that regressed, with the row of its test."""

    row: Mapping[str, Any]
    verdict: Mapping[str, Any]


def broken_ones(rows: Iterable[Mapping[str, Any]]) -> list[Broken]:
    """The verdicts furthest beyond their limits first."""
    found = [
        Broken(row=row, verdict=verdict)
        for row in rows
        for verdict in row["verdicts"]
        if verdict["outcome"] == "regressed"
    ]
    return sorted(found, key=lambda broken: -excess(broken.verdict))


def worst_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=_place)


def _place(row: dict[str, Any]) -> tuple[int, float]:
    verdict = decisive(row)
    beyond = 0.0 if verdict is None else signed_excess(verdict)
    return URGENCY.index(kind_of(row)), -beyond


def decisive(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The verdict that a row is known by: its worst one, or None where it has none."""
    return min(
        row["verdicts"],
        key=lambda verdict: (_OUTCOMES.index(verdict["outcome"]), -signed_excess(verdict)),
        default=None,
    )


def excess(verdict: Mapping[str, Any]) -> float:
    """How far a value is from its limit, in limits."""
    if verdict["value"] is None:
        return float("inf")
    if verdict["limit"] is None:
        return 0.0
    distance = abs(verdict["value"] - verdict["limit"])
    return float(distance / max(abs(verdict["limit"]), 0.05))


def signed_excess(verdict: Mapping[str, Any]) -> float:
    """The same, below 0 where the limit is kept."""
    if verdict["value"] is None or verdict["limit"] is None:
        return excess(verdict)
    above = verdict["value"] > verdict["limit"]
    return excess(verdict) if above == (verdict["bound"] == "at_most") else -excess(verdict)


def comparison_of(
    row: Mapping[str, Any], verdict: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The comparison that shows best what a verdict is about: its own, a set's worst one, or else
    the only one of the test."""
    comparisons: list[Mapping[str, Any]] = row["comparisons"]
    if verdict is not None:
        probe = verdict["probe"]
        if verdict["set"] and verdict["set"]["worst"]:
            probe = verdict["set"]["worst"][0]["probe"]
        if probe is not None:
            return next((c for c in comparisons if c["probe"] == probe), None)
    return comparisons[0] if len(comparisons) == 1 else None


def short(test: str) -> str:
    """A node id without the folders before it."""
    file, sep, inside = test.partition("::")
    return file.rpartition("/")[2] + sep + inside
