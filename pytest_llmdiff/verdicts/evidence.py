"""Turns a sample into evidence about one quantity: a mean, a rate, or the change of a rate.

A member that could not be judged is left out of the estimate. The two bounds used for verdicts
assume the worst and the best for it: one counts it as the largest possible value, the other as the
smallest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pytest_llmdiff.verdicts.bounds.intervals import MIN_UNITS
from pytest_llmdiff.verdicts.estimates import (
    Estimate,
    change_estimate,
    mean_estimate,
    rate_estimate,
)
from pytest_llmdiff.verdicts.flips import Flips, flips
from pytest_llmdiff.verdicts.set_verdicts import Evidence
from pytest_llmdiff.verdicts.sets import Sample

T = TypeVar("T")
# `unseen` of a dense sample: a change moves every value, so that the sample misses no rare ones. An
# infinite range adds nothing to the interval.
ANYWHERE = (-math.inf, math.inf)


def mean_evidence(sample: Sample, *, scope: str = "") -> Evidence:
    """The mean of a measure over the set."""
    known = _with_least(sample)

    def estimate(fill: float | None) -> Estimate:
        if fill is not None and math.isinf(fill):
            judged = estimate(None)
            return replace(judged, high=fill) if fill > 0 else replace(judged, low=fill)
        members = [
            (value, cluster)
            for value, cluster in _filled(
                known if fill == sample.support[0] else sample.values, sample.clusters, fill
            )
            # NaN and infinite values fail the set; the estimate of the others is still shown.
            if math.isfinite(value)
        ]
        values = [value for value, _ in members]
        clusters = several(c for _, c in members)
        unseen = ANYWHERE if sample.dense else sample.unseen
        found = mean_estimate(values, clusters, support=sample.support, unseen=unseen)
        if sample.dense and found.clusters >= MIN_UNITS and found.spread == 0:
            return replace(found, low=found.value, high=found.value, method="all values are equal")
        return found

    found, highest, lowest = _three(estimate, *sample.support, missing=bool(sample.unsupported))
    judged = [value for value in sample.values if value is not None]
    return Evidence(
        name=sample.name,
        unit=sample.unit,
        estimate=found,
        highest=highest,
        lowest=lowest,
        unsupported=sample.unsupported,
        not_finite=sum(not math.isfinite(value) for value in judged),
        moved=_questions(sample.values, sample.clusters),
        bounded=any(bound is not None for bound in sample.least),
        scope=scope,
    )


def _with_least(sample: Sample) -> Sequence[float | None]:
    """The values; a member that could not be judged has its known lower bound, if any."""
    least = sample.least or [None] * len(sample.values)
    return [
        bound if value is None else value for value, bound in zip(sample.values, least, strict=True)
    ]


def rate_evidence(sample: Sample, *, over: float, scope: str = "") -> Evidence:
    """The share of members whose value is over a threshold, or NaN."""
    events = _events(sample, over)

    def estimate(fill: bool | None) -> Estimate:
        members = _filled(events, sample.clusters, fill)
        return rate_estimate([event for event, _ in members], several(c for _, c in members))

    found, highest, lowest = _three(estimate, False, True, missing=bool(sample.unsupported))
    return Evidence(
        name=f"{sample.name} rate{_above(over)}",
        unit=f"share over {over:g}",
        estimate=found,
        highest=highest,
        lowest=lowest,
        unsupported=sample.unsupported,
        moved=_questions(events, sample.clusters),
        rate=True,
        over=over,
        scope=scope,
    )


def moved_evidence(
    moved: Sample, back: Sample, among: Sample | None = None, *, scope: str = ""
) -> Evidence:
    """The share of members that moved one way. Both samples are 1 for "moved" and 0 otherwise.

    Only members that can move count: those that are 1 in `among`, if given. `p` and `details` also
    regard the members that moved the other way.
    """
    found = _flips(_events(back, 0), _events(moved, 0), moved.clusters)
    p = None if found is None else found.p_value
    details = _both_ways(found, moved.name, back.name)
    if among is None:
        evidence = rate_evidence(moved, over=0, scope=scope)
        return replace(evidence, unit="share of replies", p=p, details=details)
    able = _among(moved, among)
    evidence = rate_evidence(able, over=0, scope=scope)
    if among.unsupported:
        possible = _among(moved, among, doubtful=True)
        reasons = _first(among.unsupported, len(possible.values) - len(able.values))
        evidence = replace(
            evidence,
            lowest=rate_evidence(possible, over=0).lowest,
            unsupported={**reasons, **evidence.unsupported},
        )
    return replace(
        evidence,
        unit=f"share of {among.name}",
        among=among.name,
        able=len(set(able.clusters)),
        whole=len(set(among.clusters)),
        p=p,
        details=details,
    )


def _among(sample: Sample, among: Sample, *, doubtful: bool = False) -> Sample:
    """The members that are 1 in another sample, or may be and could not be judged in this one.

    Members that may be 1 there and did not move can only lower the rate, so that they count if
    `doubtful`, in the lower bound.
    """
    kept = [
        n
        for n, (value, able) in enumerate(zip(sample.values, among.values, strict=True))
        if able or (able is None and (doubtful or value != 0))
    ]
    unsupported = _first(sample.unsupported, sum(sample.values[n] is None for n in kept))
    if not any(value is None or value for value in among.values):
        way = sample.name.rpartition(" ")[2]  # lost or gained
        unsupported = {f"no {among.name}: nothing can be {way}": len(among.values)}
    return replace(
        sample,
        values=[sample.values[n] for n in kept],
        clusters=[sample.clusters[n] for n in kept],
        unsupported=unsupported,
    )


def _first(reasons: Mapping[str, int], count: int) -> Mapping[str, int]:
    """The reasons of `count` members, most frequent first, if not all members count."""
    kept: dict[str, int] = {}
    for reason, members in sorted(reasons.items(), key=lambda item: -item[1]):
        if left := min(members, count - sum(kept.values())):
            kept[reason] = left
    return kept


def share_of(sample: Sample, among: Sample | None) -> float:
    """The share of members that are 1, or may be."""
    kept = sample if among is None else _among(sample, among)
    return sum(value is None or value > 0 for value in kept.values) / max(1, len(kept.values))


def change_evidence(base: Sample, tuned: Sample, *, over: float, scope: str = "") -> Evidence:
    """By how much the share over a threshold rose from base to tuned, paired by member."""
    before, after = _events(base, over), _events(tuned, over)
    pairs = list(zip(before, after, strict=True))

    def estimate(fill: bool | None) -> Estimate:
        members = [
            (not fill if b is None else b, bool(fill) if t is None else t, cluster)
            for (b, t), cluster in zip(pairs, tuned.clusters, strict=True)
            if fill is not None or (b is not None and t is not None)
        ]
        return change_estimate(
            [b for b, _, _ in members],
            [t for _, t, _ in members],
            several(c for _, _, c in members),
        )

    missing = sum(b is None or t is None for b, t in pairs)
    changed = _flips(before, after, tuned.clusters)
    found, highest, lowest = _three(estimate, False, True, missing=missing > 0)
    reasons = {**base.unsupported, **tuned.unsupported}
    return Evidence(
        name=f"{tuned.name} rate rise{_above(over)}",
        unit=f"share over {over:g}",
        estimate=found,
        highest=highest,
        lowest=lowest,
        unsupported={next(iter(reasons)): missing} if missing else {},
        moved=_questions([b is not t for b, t in pairs], tuned.clusters),
        rate=True,
        over=over,
        p=None if changed is None else changed.p_value,
        scope=scope,
        details=_both_ways(changed, "risen", "fallen"),
    )


def _flips(
    before: Sequence[bool | None], after: Sequence[bool | None], clusters: Sequence[str]
) -> Flips | None:
    """The flips of the members that were judged on both sides; None if there are none."""
    judged = [
        (b, a, cluster)
        for b, a, cluster in zip(before, after, clusters, strict=True)
        if b is not None and a is not None
    ]
    if not judged:
        return None
    sides = [b for b, _, _ in judged], [a for _, a, _ in judged]
    return flips(*sides, [cluster for _, _, cluster in judged])


def _both_ways(found: Flips | None, moved: str, back: str) -> dict[str, Any]:
    """How many members moved, how many the opposite way, and the difference."""
    if found is None:
        return {}
    net = found.gained - found.lost
    return {moved: found.gained, back: found.lost, "moved": moved, "opposite": back, "net": net}


def _three(
    estimate: Callable[[T | None], Estimate], least: T, most: T, *, missing: bool
) -> tuple[Estimate, Estimate, Estimate]:
    """Three estimates: without the members that could not be judged, with each of them at the
    largest possible value, and at the smallest."""
    found = estimate(None)
    return (found, estimate(most), estimate(least)) if missing else (found, found, found)


def _questions(moved: Sequence[float | None], clusters: Sequence[str]) -> int:
    """The number of questions with a member that moved."""
    return len({cluster for m, cluster in zip(moved, clusters, strict=True) if m})


def _above(over: float) -> str:
    """The threshold as part of a rate's name, since a test may have several rates."""
    return f" over {over:g}" if over else ""


def _events(sample: Sample, over: float) -> list[bool | None]:
    return [None if v is None else not v <= over for v in sample.values]


def _filled(
    values: Sequence[T | None], clusters: Sequence[str], fill: T | None
) -> list[tuple[T, str]]:
    """Members with their clusters; a missing value becomes `fill`, or is left out if it is None."""
    filled = ((fill if v is None else v, c) for v, c in zip(values, clusters, strict=True))
    return [(value, cluster) for value, cluster in filled if value is not None]


def several(clusters: Iterable[str]) -> list[str] | None:
    """The clusters, or None if each has one member only."""
    found = list(clusters)
    return found if len(set(found)) < len(found) else None
