"""Intervals for what a set of probes says, and what follows from them: the only statistics here.

Every interval has two one-sided bounds. Each is to be wrong in at most one of twenty sets, for
small and skewed ones too; `benchmarks/verdicts.py` measures how often they are, docs/statistics.md
has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

Decision = Literal["passed", "regressed", "inconclusive"]

ERROR = 0.05  # of each bound
# Below so many independent units no bound on a mean that was tried keeps that promise.
FEWEST = 10
# The error that bounds on means are computed for, from so many units on. Smaller than promised,
# since the correction for skewness, which is estimated from the same units, falls short: without
# this 12 % of the bounds are wrong at 10 log-normal units (sigma = 1), and 6.3 % at 200.
COMPUTED = ((200, 0.035), (50, 0.025), (20, 0.015), (FEWEST, 0.008))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A quantity of a set with its interval.

    `low` and `high` are one-sided 95 % bounds, so that both together are a 90 % interval; they are
    infinite where no bound can be given. Of the `n` comparisons some may be of one question:
    `clusters` counts the independent ones. `spread` is the standard deviation of these.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    spread: float


@dataclass(frozen=True, kw_only=True)
class Flips:
    """How many members of a set changed to each side, and McNemar's exact two-sided p-value."""

    gained: int
    lost: int
    p: float


def mean_estimate(
    values: Sequence[float],
    clusters: Sequence[str] | None = None,
    *,
    support: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The mean of finite values, where `support` is the least and the most that one can be.

    With `clusters`, the mean over the questions of their means: each counts once, however many
    paraphrases or repeats it has. The bounds are Hall's, from the t-statistic with its skewness
    removed by a cubic transformation (Hall 1992, J. R. Stat. Soc. B 54, 221-228); they are
    infinite for fewer than `FEWEST` units.

    Units that are all equal have no spread to go by. That none is another shows only that others
    are rarer than 1 - 0.05^(1/n) (Clopper & Pearson 1934), which bounds the mean where there is a
    most that they could be.
    """
    import numpy as np

    units = _units(values, clusters)
    n = len(units)
    if n == 0:
        return _unknown(math.nan, 0, 0, "nothing to judge")
    mean = float(np.mean(units))
    spread = float(np.std(units, ddof=1)) if n > 1 else 0.0
    if n < FEWEST:
        why = f"fewer than {FEWEST} independent units bound no mean"
        return _unknown(mean, len(values), n, why, spread)
    if np.ptp(units) == 0.0:
        rarer = 1 - ERROR ** (1 / n)
        low, high = (mean + rarer * (end - mean) if end != mean else mean for end in support)
        method = "all are equal: others are rarer than 3 in n (Clopper-Pearson)"
        return _estimate(mean, low, high, len(values), n, method, 0.0)
    low, high = _hall(units, mean, spread)
    low, high = max(low, support[0]), min(high, support[1])
    method = "t with skewness removed (Hall)"
    return _estimate(mean, low, high, len(values), n, method, spread)


def rate_estimate(events: Sequence[bool], clusters: Sequence[str] | None = None) -> Estimate:
    """The share of events: exact bounds (Clopper & Pearson 1934), of any number; those of the mean
    over the questions where there are `clusters`."""
    n, count = len(events), sum(events)
    if clusters is not None:
        return mean_estimate([float(event) for event in events], clusters, support=(0.0, 1.0))
    if n == 0:
        return _estimate(math.nan, 0.0, 1.0, 0, 0, "nothing to judge", 0.0)
    from scipy import stats

    bounds = stats.binomtest(count, n).proportion_ci(confidence_level=1 - 2 * ERROR)
    rate = count / n
    spread = math.sqrt(rate * (1 - rate))
    return _estimate(rate, bounds.low, bounds.high, n, n, "exact (Clopper-Pearson)", spread)


def change_estimate(
    base: Sequence[bool], tuned: Sequence[bool], clusters: Sequence[str] | None = None
) -> Estimate:
    """How much larger the share of events is in `tuned`, paired by member, from -1 to 1.

    Bounds of Bonett & Price (2012, J. Educ. Behav. Stat. 37, 479-488) with a t quantile: each kind
    of flip counted once more than it was, in two more members. With `clusters`, those of the mean.
    """
    n = len(base)
    if clusters is not None:
        moved = [float(t) - float(b) for b, t in zip(base, tuned, strict=True)]
        return mean_estimate(moved, clusters, support=(-1.0, 1.0))
    if n == 0:
        return _estimate(math.nan, -1.0, 1.0, 0, 0, "nothing to judge", 0.0)
    gained, lost = _flipped(base, tuned)
    change = (gained - lost) / n
    spread = math.sqrt((gained + lost) / n - change**2)
    low, high = -1.0, 1.0
    if n > 1:
        from scipy import stats

        up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
        error = math.sqrt((up + down - (up - down) ** 2) / (n + 2))
        reach = float(stats.t.ppf(1 - ERROR, n - 1)) * error
        low, high = max(up - down - reach, -1.0), min(up - down + reach, 1.0)
    return _estimate(change, low, high, n, n, "paired, adjusted Wald (Bonett-Price)", spread)


def flips(base: Sequence[bool], tuned: Sequence[bool]) -> Flips:
    """Those that changed sides, by McNemar's exact test (1947)."""
    gained, lost = _flipped(base, tuned)
    p = 1.0
    if gained + lost:
        from statsmodels.stats.contingency_tables import mcnemar

        p = float(mcnemar([[0, gained], [lost, 0]], exact=True).pvalue)
    return Flips(gained=gained, lost=lost, p=p)


def decide(
    estimate: Estimate, *, at_most: float | None = None, at_least: float | None = None
) -> Decision:
    """Passed only where the interval shows the limit kept, regressed only where it shows it broken.

    One limit is given.
    """
    if at_least is not None:
        return decide(_mirrored(estimate), at_most=-at_least)
    if at_most is None:
        raise ValueError("a decision needs a limit")
    if estimate.high <= at_most:
        return "passed"
    return "regressed" if estimate.low > at_most else "inconclusive"


def deciding_size(
    estimate: Estimate, *, at_most: float | None = None, at_least: float | None = None
) -> int | None:
    """About how many comparisons would decide, if they go on like these.

    None where none would: the estimate is the limit, or has no bound at any size.
    """
    if at_least is not None:
        return deciding_size(_mirrored(estimate), at_most=-at_least)
    if at_most is None or estimate.clusters == 0 or not math.isfinite(estimate.value):
        return None
    gap = abs(at_most - estimate.value)
    end = estimate.high if estimate.value < at_most else estimate.low
    reach = abs(end - estimate.value)
    if gap == 0:
        return None
    if math.isinf(reach):
        if estimate.spread == 0 and estimate.clusters >= FEWEST:
            return None
        units = _units_for(estimate.spread / gap)
    elif estimate.spread == 0:
        farthest = reach / (1 - ERROR ** (1 / estimate.clusters))
        units = math.log(ERROR) / math.log1p(-min(gap / farthest, 0.5))
    else:
        units = estimate.clusters * (reach / gap) ** 2
    each = estimate.n / estimate.clusters
    return max(math.ceil(units * each), estimate.n + 1)


def smallest_effect(spread: float, n: int, *, power: float = 0.8) -> float:
    """By how much a mean of `n` independent units must be beyond its limit to be found broken with
    that power, where the units have that standard deviation."""
    if n < FEWEST:
        return math.inf
    from statsmodels.stats.power import TTestPower

    effect = TTestPower().solve_power(
        nobs=n, alpha=_computed_error(n), power=power, alternative="larger"
    )
    return float(effect) * spread


def adjusted(p_values: Sequence[float]) -> list[float]:
    """p-values of one family that bound the share of false discoveries (Benjamini & Hochberg
    1995, J. R. Stat. Soc. B 57, 289-300)."""
    from scipy import stats

    return [float(value) for value in stats.false_discovery_control(p_values)]


def _hall(units: np.ndarray[Any, Any], mean: float, spread: float) -> tuple[float, float]:
    import numpy as np
    from scipy import stats

    n = len(units)
    # Sorted, so that rounding does not depend on the order.
    skewness = float(stats.skew(np.sort(units), bias=False))
    t = float(stats.t.ppf(1 - _computed_error(n), n - 1))
    error = spread / math.sqrt(n)
    slope = skewness / (3 * math.sqrt(n))

    def untransformed(quantile: float) -> float:
        if abs(slope) < 1e-9:
            return quantile
        return (math.cbrt(1 + 3 * slope * (quantile - slope / 2)) - 1) / slope

    return mean - error * untransformed(t), mean - error * untransformed(-t)


def _computed_error(n: int) -> float:
    return next(error for fewest, error in COMPUTED if n >= fewest)


def _units_for(ratio: float) -> float:
    """How many units bound a mean to within its spread divided by `ratio`, roughly."""
    units = float(FEWEST)
    for _ in range(5):
        from scipy import stats

        error = _computed_error(max(math.floor(units), FEWEST))
        units = max((float(stats.norm.ppf(1 - error)) * ratio) ** 2, FEWEST)
    return units


def _units(
    values: Sequence[float], clusters: Sequence[str] | None
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The independent units: the values, or the means of the clusters, in increasing order, so
    that no sum of them depends on the order in which they came."""
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return np.sort(given)
    names, places = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.lexsort((given, places))
    sums = np.bincount(places[order], weights=given[order], minlength=len(names))
    return np.sort(sums / np.bincount(places, minlength=len(names)))


def _flipped(base: Sequence[bool], tuned: Sequence[bool]) -> tuple[int, int]:
    pairs = list(zip(base, tuned, strict=True))
    return sum(t and not b for b, t in pairs), sum(b and not t for b, t in pairs)


def _mirrored(estimate: Estimate) -> Estimate:
    return _estimate(
        -estimate.value, -estimate.high, -estimate.low, estimate.n, estimate.clusters,
        estimate.method, estimate.spread,
    )  # fmt: skip


def _unknown(value: float, n: int, clusters: int, method: str, spread: float = 0.0) -> Estimate:
    return _estimate(value, -math.inf, math.inf, n, clusters, method, spread)


def _estimate(
    value: float, low: float, high: float, n: int, clusters: int, method: str, spread: float
) -> Estimate:
    return Estimate(
        value=value, low=float(low), high=float(high), n=n, clusters=clusters, method=method,
        spread=spread,
    )  # fmt: skip
