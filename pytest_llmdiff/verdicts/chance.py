"""All verdicts of a run together: what chance alone would do to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How many of a run's single-probe verdicts under calibrated limits noise alone would fail."""

    expected: float
    verdicts: int


def chance_of(rows: Iterable[Mapping[str, Any]]) -> Chance:
    """The sum over the verdicts of how often, at most, noise breaks their limit."""
    found = [
        verdict["chance"]
        for row in rows
        for verdict in row["verdicts"]
        if verdict["chance"] is not None
    ]
    return Chance(expected=sum(found), verdicts=len(found))


def adjust(rows: Iterable[Mapping[str, Any]]) -> None:
    """Put the p-value that holds for the whole run beside each verdict's own, as `adjusted`.

    Of Benjamini & Hochberg (1995): among verdicts below some value of it, at most that share is
    expected to be chance.
    """
    verdicts = [verdict for row in rows for verdict in row["verdicts"]]
    tested = [verdict for verdict in verdicts if verdict["p"] is not None]
    for verdict in verdicts:
        verdict["adjusted"] = None
    if tested:
        from pytest_llmdiff.verdicts.estimates import adjusted

        values = adjusted([verdict["p"] for verdict in tested])
        for verdict, value in zip(tested, values, strict=True):
            verdict["adjusted"] = value
