"""Estimates from a set of probes, with confidence bounds: a mean, a rate, a change of a rate.

Pure functions of plain numbers. docs/statistics.md describes the methods, their sources and their
measured error rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.intervals import (
    MIN_PAIRS,
    MIN_UNITS,
    Bounds,
    Clusters,
    change_bounds,
    effective_size,
    effective_units,
    equal_bounds,
    mean_bounds,
    rate_bounds,
    units_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Residuals below this fraction of the largest value are rounding errors.
ROUNDING = 1e-12
# Begins the `method` of an estimate whose bounds are just its support.
NO_METHOD = "no method"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, a rate or a change of a rate, with a one-sided 95 % confidence bound on each side.

    If no method is valid for a set of this size, the bounds are the ends of the measure's support,
    or infinite. `value` is NaN if nothing was measured, or a value is not finite. `clusters` counts
    the independent units; `spread / sqrt(clusters)` is the standard error. `effective` is the
    number of independent probes with as much information as these `n`. `skewness` is that of the
    units of a mean; `unseen` is the range of values that the sample may have missed. `shares` has
    the share of events for a rate, or the shares gained and lost for a change.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    spread: float
    effective: float
    skewness: float = 0.0
    unseen: Bounds = (-math.inf, math.inf)
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Probes whose outcome changed, and the two-sided p-value of McNemar's exact test.

    The test assumes independent probes.
    """

    gained: int
    lost: int
    unchanged: int
    p_value: float


def mean_estimate(
    values: Sequence[float],
    clusters: Clusters | None = None,
    *,
    support: Bounds | None = None,
    unseen: Bounds | None = None,
) -> Estimate:
    """The mean of a continuous measure, or of paired differences.

    `clusters` names the cluster of each value (None: a cluster of its own). `support` is the lowest
    and highest possible value; `unseen` the range of values that are too rare to be in the sample,
    by default the support. Raises `LLMDiffError` if the lengths differ.
    """
    import numpy as np

    lowest, highest = map(float, support or (-math.inf, math.inf))
    unseen = unseen or (lowest, highest)
    x = np.asarray(values, dtype=np.float64)
    unusable = int(np.count_nonzero(~np.isfinite(x)))
    if not len(x) or unusable:
        why = f"{unusable} of {len(x)} values are not finite" if unusable else "no values"
        return _unknown(len(x), (lowest, highest), why)
    # Scaled by the largest value, so that squares neither underflow nor overflow.
    scale = float(np.abs(x).max()) or 1.0
    totals, sizes = units_of(x / scale, clusters)
    units = len(totals)
    effective = effective_units(x / scale, clusters)
    mean = math.fsum(totals) / len(x)
    # Residuals of a ratio estimate (Cochran 1977, 6.3), because cluster sizes vary too.
    residuals = (totals - sizes * mean) * (units / len(x))
    farthest = float(np.abs(residuals).max())
    value, spread, skewness = mean * scale, 0.0, 0.0
    if farthest > ROUNDING:
        # A large cluster pulls the mean towards itself, so its residual is too small (Bell &
        # McCaffrey 2002). If all sizes are equal, the factors are 1.
        residuals *= np.sqrt((1 - 1 / units) / (1 - sizes / len(x))) / farthest
        spread = math.sqrt(float(np.sum(residuals**2)) / (units - 1)) * farthest * scale
        centred = residuals - np.mean(residuals)
        skewness = float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)
    if effective < MIN_UNITS:
        (low, high), method = (lowest, highest), f"{NO_METHOD} for fewer than {MIN_UNITS} units"
    elif spread == 0:
        low, high = equal_bounds(value, effective, unseen)
        method = "equal values (Clopper-Pearson for the share of others)"
    else:
        error = spread * math.sqrt(effective / units)
        low, high = mean_bounds(value, error, skewness, effective, unseen)
        method = "skewness-corrected t (Hall)"
        if any(map(math.isfinite, unseen)):
            method += ", no nearer than the share of others (Clopper-Pearson)"
    return Estimate(
        value=value,
        low=min(value, max(low, lowest)),
        high=max(value, min(high, highest)),
        n=len(x),
        clusters=units,
        method=_of_clusters(method, units, len(x)),
        spread=spread,
        effective=effective,
        skewness=skewness,
        unseen=unseen,
    )


def rate_estimate(events: Sequence[bool], clusters: Clusters | None = None) -> Estimate:
    """The share of probes with an event. Raises `LLMDiffError` if the lengths differ."""
    import numpy as np

    happened = np.asarray(events, dtype=bool)
    n = len(happened)
    if not n:
        return _unknown(0, (0.0, 1.0), "no values")
    rate = int(np.count_nonzero(happened)) / n
    rarer = happened if rate <= 0.5 else ~happened
    units, effective = effective_size(happened.astype(np.float64), rarer, clusters)
    low, high = rate_bounds(effective, rate)
    return Estimate(
        value=rate,
        low=min(low, rate),
        high=max(high, rate),
        n=n,
        clusters=units,
        method=_of_clusters("exact (Clopper-Pearson)", units, n),
        spread=math.sqrt(rate * (1 - rate) * units / effective),
        effective=effective,
        shares=(rate,),
    )


def change_estimate(
    base: Sequence[bool], tuned: Sequence[bool], clusters: Clusters | None = None
) -> Estimate:
    """The change of a rate from base to tuned, paired by probe.

    Raises `LLMDiffError` if the lengths differ.
    """
    import numpy as np

    before, after = _paired(base, tuned)
    n = len(before)
    if not n:
        return _unknown(0, (-1.0, 1.0), "no values")
    gained = int(np.count_nonzero(after & ~before))
    lost = int(np.count_nonzero(before & ~after))
    value, shares = (gained - lost) / n, (gained / n, lost / n)
    difference = after.astype(np.float64) - before
    units, effective = effective_size(difference, before != after, clusters)
    (low, high), method = (-1.0, 1.0), f"{NO_METHOD} for fewer than {MIN_PAIRS} units"
    if units >= MIN_PAIRS:
        (low, high), method = change_bounds(effective, *shares), "paired score (Tango)"
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=n,
        clusters=units,
        method=_of_clusters(method, units, n),
        spread=math.sqrt((sum(shares) - value**2) * units / effective),
        effective=effective,
        shares=shares,
    )


def flips(base: Sequence[bool], tuned: Sequence[bool]) -> Flips:
    """How many outcomes changed, with McNemar's exact test. Raises as `change_estimate`."""
    import numpy as np
    from scipy.special import bdtr

    before, after = _paired(base, tuned)
    gained = int(np.count_nonzero(after & ~before))
    lost = int(np.count_nonzero(before & ~after))
    unchanged = len(before) - gained - lost
    return Flips(
        gained=gained,
        lost=lost,
        unchanged=unchanged,
        p_value=min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))),
    )


def adjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted by Benjamini and Hochberg (1995), in the given order."""
    found, least = [0.0] * len(p_values), 1.0
    largest_first = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    for rank, index in zip(range(len(p_values), 0, -1), largest_first, strict=True):
        found[index] = least = min(least, p_values[index] * (len(p_values) / rank))
    return found


def _unknown(n: int, bounds: Bounds, why: str) -> Estimate:
    low, high = bounds
    return Estimate(
        value=math.nan,
        low=low,
        high=high,
        n=n,
        clusters=0,
        method=why,
        spread=math.nan,
        effective=0.0,
    )


def _of_clusters(method: str, units: int, n: int) -> str:
    return method if units == n else f"{method}, {units} clusters"


def _paired(
    base: Sequence[bool], tuned: Sequence[bool]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    import numpy as np

    if len(base) != len(tuned):
        raise LLMDiffError(f"{len(base)} outcomes of the base, but {len(tuned)} of the tuned model")
    return np.asarray(base, dtype=bool), np.asarray(tuned, dtype=bool)
