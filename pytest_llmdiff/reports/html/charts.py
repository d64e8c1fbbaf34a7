"""What the page's charts show: the values of each measure, and the estimates of sets.

The page draws both with the vendored library (`scripts/charts.js`). Without JavaScript there are a
simple picture of each measure, whose geometry is made here, and the table of sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from pytest_llmdiff.data.text.printing import counted, number
from pytest_llmdiff.reports.order import short
from pytest_llmdiff.reports.outcomes import unmeasured
from pytest_llmdiff.reports.verdict_cells import SIGNS, interval_of, limit_of, measure_of, value_of

# Units of the simple picture, which the page scales to its width.
WIDTH, HEIGHT = 320.0, 72.0
BINS = 32
LIMITS = 3  # lines in one plot


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A line across a plot, with its label."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The values of one measure over single comparisons."""

    name: str
    unit: str
    count: int
    missing: int
    broken: int
    median: str
    largest: str
    low: str
    high: str
    bars: Sequence[Bar]
    limits: Sequence[Mark]
    noise: str

    @property
    def counted(self) -> str:
        """How many values there are, and how many there should be."""
        if self.missing:
            return f"{self.count} of {self.count + self.missing} measured"
        return counted(self.count, "value")

    @property
    def label(self) -> str:
        """The plot in words, for screen readers."""
        parts = [f"{self.name}: {self.counted}, median {self.median}, largest {self.largest}"]
        parts += [f"limit {mark.text}" for mark in self.limits]
        parts += [f"noise reaches {self.noise}"] if self.noise else []
        return ", ".join(parts)


def distributions(rows: Sequence[dict[str, Any]]) -> list[Distribution]:
    """A plot for each measure, in the order of their first appearance."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for verdict in row["verdicts"]:
            if verdict["set"] is None and verdict["value"] is not None:
                by_name.setdefault(verdict["name"], []).append(verdict)
    missing = unmeasured(rows)
    # A measure of a model, rather than of probes, has a single value and no distribution.
    return [
        _distribution(name, verdicts, missing[name])
        for name, verdicts in by_name.items()
        if any(v["probe"] is not None for v in verdicts)
    ]


def _distribution(name: str, verdicts: Sequence[Mapping[str, Any]], missing: int) -> Distribution:
    values = [float(verdict["value"]) for verdict in verdicts]
    limits = sorted(
        {(v["limit"], v["bound"]) for v in verdicts if v["limit"] is not None}, reverse=True
    )[:LIMITS]
    noise = max((v["noise"] for v in verdicts if v["noise"] is not None), default=None)
    marks = [limit for limit, _ in limits]
    low = min(0.0, *values, *marks)
    high = max([*values, *marks])
    end = low + ((high - low) or 1.0) * 1.02  # the largest value is inside
    return Distribution(
        name=name,
        unit=str(verdicts[0]["unit"]),
        count=len(values),
        missing=missing,
        broken=sum(verdict["outcome"] == "regressed" for verdict in verdicts),
        median=number(median(values)),
        largest=number(max(values)),
        low=number(low),
        high=number(high),
        bars=_bars(values, low, end),
        limits=[
            Mark(
                x=round(WIDTH * (limit - low) / (end - low), 2),
                text=f"{SIGNS[bound]} {number(limit)}",
            )
            for limit, bound in limits
        ],
        noise="" if noise is None else number(noise),
    )


def _bars(values: Sequence[float], low: float, high: float) -> list[Bar]:
    """Counts by value. Heights are square roots, so that a single value beside thousands is
    visible."""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int(BINS * (value - low) / (high - low)))] += 1
    most = max(counts)
    return [
        Bar(x=round(place * WIDTH / BINS, 2), height=round(HEIGHT * math.sqrt(count / most), 2))
        for place, count in enumerate(counts)
        if count
    ]


def intervals(sets: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The estimate of each verdict on a set, with its ends and its limit as numbers and in words,
    from the test's name, the link to it, and the verdict."""
    return [
        {
            "name": measure_of(verdict),
            "test": short(test),
            "link": link,
            "outcome": verdict["outcome"],
            "value": value_of(verdict),
            "limit": limit_of(verdict),
            "interval": interval_of(verdict),
            "at": verdict["value"],
            "low": verdict["set"]["low"],
            "high": verdict["set"]["high"],
            "edge": verdict["limit"],
            "noise": verdict["noise"],
        }
        for test, link, verdict in sets
    ]
