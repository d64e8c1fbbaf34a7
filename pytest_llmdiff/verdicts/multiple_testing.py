"""Multiple testing: how many failures of a whole run noise would explain, and adjusted p-values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How many of a run's single-probe verdicts under calibrated limits noise alone would fail."""

    expected: float
    verdicts: int


def chance_of(rows: Iterable[Mapping[str, Any]]) -> Chance:
    """Sums each verdict's chance of breaking its limit by noise, which is an upper bound."""
    found = [
        verdict["chance"]
        for row in rows
        for verdict in row["verdicts"]
        if verdict["chance"] is not None
    ]
    return Chance(expected=sum(found), verdicts=len(found))


def adjust(rows: Iterable[Mapping[str, Any]]) -> None:
    """Add an `adjusted` p-value to each verdict: its own one, corrected for all tests of the run.

    By Benjamini & Hochberg (1995): of all verdicts with an adjusted p-value below some threshold,
    at most that share is expected to be due to chance.
    """
    verdicts = [verdict for row in rows for verdict in row["verdicts"]]
    tested = [verdict for verdict in verdicts if verdict["p"] is not None]
    for verdict in verdicts:
        verdict["adjusted"] = None
    if tested:
        values = adjusted([verdict["p"] for verdict in tested])
        for verdict, value in zip(tested, values, strict=True):
            verdict["adjusted"] = value


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Benjamini and Hochberg (1995), in the given order."""
    found, least = [0.0] * len(p_values), 1.0
    largest_first = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    for rank, index in zip(range(len(p_values), 0, -1), largest_first, strict=True):
        found[index] = least = min(least, p_values[index] * (len(p_values) / rank))
    return found
