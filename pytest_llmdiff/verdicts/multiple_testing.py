"""Multiple testing: how likely noise turns a whole run red, and adjusted p-values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.verdicts.verdict import label


@dataclass(frozen=True, kw_only=True)
class Chance:
    """How likely at most an unchanged model breaks any of a run's calibrated limits.

    `verdicts` were judged by `limits` of the baseline; of `unknown` of these the chance is unknown,
    so that `probability` leaves them out.
    """

    probability: float
    verdicts: int
    limits: int
    unknown: int


def chance_of(rows: Iterable[Mapping[str, Any]]) -> Chance:
    """Adds up the chances of the limits, each once: an upper bound (Bonferroni)."""
    judged = 0
    chances: dict[tuple[str, str, str | None], float | None] = {}
    for row in rows:
        for verdict in row["verdicts"]:
            if verdict["noise"] is not None:
                judged += 1
                scope = verdict["set"]["scope"] if verdict["set"] else ""
                # Each of several tuned models is judged by the limit.
                key = row["case"], label(verdict["name"], scope), row.get("tuned")
                chances[key] = verdict["chance"]
    known = [chance for chance in chances.values() if chance is not None]
    return Chance(
        probability=min(1.0, sum(known)),
        verdicts=judged,
        limits=len(chances),
        unknown=len(chances) - len(known),
    )


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
