"""The geometry of the page's plots. The template draws them."""

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

# Units of the drawings, which the page scales to its width.
WIDTH, HEIGHT = 320.0, 72.0
BINS = 32
LIMITS = 3  # lines in one plot


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    beyond: bool


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
    noise: Mark | None

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
        parts += [f"noise reaches {self.noise.text}"] if self.noise else []
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The estimate of a set with its interval and its limit."""

    name: str
    test: str
    link: str
    outcome: str
    value: str
    limit: str
    label: str
    low: float
    high: float
    at: float | None
    limit_x: float | None
    noise_x: float | None


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
    marks = [limit for limit, _ in limits] + ([] if noise is None else [noise])
    low = min(0.0, *values, *marks)
    high = max([*values, *marks])
    end = low + ((high - low) or 1.0) * 1.02  # the largest value is inside

    def place(value: float) -> float:
        return float(round(WIDTH * (value - low) / (end - low), 2))

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
        bars=_bars(verdicts, low, end),
        limits=[
            Mark(x=place(limit), text=f"{SIGNS[bound]} {number(limit)}") for limit, bound in limits
        ],
        noise=None if noise is None else Mark(x=place(noise), text=number(noise)),
    )


def _bars(verdicts: Sequence[Mapping[str, Any]], low: float, high: float) -> list[Bar]:
    """Counts by value, with those that broke their limit on top. Heights are square roots, so that
    a single value beside thousands is visible."""
    kept, broken = [0] * BINS, [0] * BINS
    for verdict in verdicts:
        place = min(BINS - 1, int(BINS * (verdict["value"] - low) / (high - low)))
        (broken if verdict["outcome"] == "regressed" else kept)[place] += 1
    most = max(a + b for a, b in zip(kept, broken, strict=True))
    width = WIDTH / BINS
    bars = []
    for place, (good, bad) in enumerate(zip(kept, broken, strict=True)):
        if good + bad == 0:
            continue
        height = HEIGHT * math.sqrt((good + bad) / most)
        top = height * bad / (good + bad)
        for start, size, beyond in ((HEIGHT - height, top, True),
                                    (HEIGHT - height + top, height - top, False)):  # fmt: skip
            if size:
                bars.append(
                    Bar(
                        x=round(place * width + 0.5, 2),
                        y=round(start, 2),
                        width=round(width - 1, 2),
                        height=round(size, 2),
                        beyond=beyond,
                    )
                )
    return bars


def intervals(sets: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Interval]:
    """One line for each verdict on a set, from the test's name, the link to it, and the verdict.

    All verdicts of a measure share a scale.
    """
    ends: dict[str, list[float]] = {}
    for _, _, verdict in sets:
        held = verdict["set"]
        numbers = (verdict["value"], verdict["limit"], verdict["noise"], held["low"], held["high"])
        ends.setdefault(verdict["name"], [0.0]).extend(n for n in numbers if n is not None)
    return [_interval(test, link, v, ends[v["name"]]) for test, link, v in sets]


def _interval(test: str, link: str, verdict: Mapping[str, Any], ends: Sequence[float]) -> Interval:
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(4 + (WIDTH - 8) * (value - low) / span, 2)

    held = verdict["set"]
    at = place(verdict["value"])
    start, end = place(held["low"]), place(held["high"])
    limit = limit_of(verdict)
    return Interval(
        name=measure_of(verdict),
        test=short(test),
        link=link,
        outcome=verdict["outcome"],
        value=value_of(verdict),
        limit=limit,
        label=f"{value_of(verdict)}, {interval_of(verdict)}{', limit ' + limit if limit else ''}",
        # An unknown end extends to the edge of the drawing.
        low=start if start is not None else 0.0,
        high=end if end is not None else WIDTH,
        at=at,
        limit_x=place(verdict["limit"]),
        noise_x=place(verdict["noise"]),
    )
