"""One-sided 95 % confidence bounds for means and rates, from independent units or clusters.

Deterministic, and independent of the order of the values. docs/statistics.md names the sources and
the simulation by which the constants were chosen (benchmarks/verdicts.py). Distributions come from
scipy.special: importing scipy.stats takes longer than computing a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import LLMDiffError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Clusters = Sequence[Hashable | None]
Bounds = tuple[float, float]

ERROR = 0.05
# With fewer units a mean has no bounds, because they do not show the shape of the distribution.
MIN_UNITS = 5
# With fewer units the change of a rate has no bounds, because its score takes too few values. From
# this size on tests/verdicts/test_estimates.py computes the error rates exactly.
MIN_PAIRS = 10
# So many equal values show that fewer than 5 % of all units differ from them: 0.95 ** 59 < 0.05.
MIN_EQUAL = 59
# Hall's correction estimates the skewness from the sample, and small samples look less skewed than
# their population. So bounds are made for a smaller error: for half of `ERROR` at this number of
# units, for less below. With it the mean of log-normal values (sigma 1) has the promised error at
# every size.
SHAPE_UNITS = 150
# The prior that all probes of a cluster have the same outcome is as strong as if this many clusters
# had shown it.
ALIKE_CLUSTERS = 2


def level(units: float) -> float:
    """The nominal one-sided error of Hall's bound that keeps the real one at `ERROR` or below."""
    return ERROR * units / (units + SHAPE_UNITS)


def mean_bounds(
    mean: float, spread: float, skewness: float, units: float, unseen: Bounds
) -> Bounds:
    """Bounds of a mean: `skewed_bounds`, widened by how far values missing from the sample may move
    it.

    If all sampled values are near one end, neither they nor their spread show whether a few lie at
    the other end. `unseen` is the range of such values; an infinite end adds nothing.
    """
    low, high = skewed_bounds(mean, spread, skewness, units)
    lowest, highest = _moved(mean, units, unseen)
    return min(low, lowest), max(high, highest)


def skewed_bounds(mean: float, spread: float, skewness: float, units: float) -> Bounds:
    """Bounds of a mean by Hall (1992): inverts the cubic transformation that removes the skewness
    of t. `spread` and `skewness` are those of independent units.
    """
    from scipy.special import stdtrit

    error, g = spread / math.sqrt(units), skewness / math.sqrt(units)
    quantile = -float(stdtrit(units - 1, level(units)))
    return mean - _unskewed(quantile, g) * error, mean - _unskewed(-quantile, g) * error


def _unskewed(quantile: float, g: float) -> float:
    if abs(g) < 1e-6:  # the formula's limit for g = 0, which rounding would spoil
        return quantile
    return 3 / g * (math.cbrt(1 + g * (quantile - g / 6)) - 1)


def unseen_share(units: float) -> float:
    """The largest share of different units, given `units` equal ones (Clopper-Pearson)."""
    return 1 - math.pow(ERROR, 1 / units)


def equal_bounds(value: float, units: float, unseen: Bounds) -> Bounds:
    """Bounds of a mean if all units are equal: missing values may lie anywhere in `unseen`.

    If that range is infinite on a side, the bound there is infinite for fewer than `MIN_EQUAL`
    units, else the value itself, which ignores rarer values.
    """
    if units >= MIN_EQUAL:
        return _moved(value, units, unseen)
    share = unseen_share(units)
    return value + share * (unseen[0] - value), value + share * (unseen[1] - value)


def _moved(value: float, units: float, unseen: Bounds) -> Bounds:
    """The mean if the largest possible share of missing values were at either end."""
    share = unseen_share(units)
    low, high = (value if math.isinf(end) else value + share * (end - value) for end in unseen)
    return low, high


def rate_bounds(n: float, rate: float) -> Bounds:
    """Bounds of a rate: Clopper and Pearson (1934), with effective sizes by Korn and Graubard
    (1998)."""
    from scipy.special import betainccinv, betaincinv

    events, others = rate * n, n - rate * n
    low = float(betaincinv(events, others + 1, ERROR)) if events > 0 else 0.0
    return low, float(betainccinv(events + 1, others, ERROR)) if others > 0 else 1.0


def change_bounds(n: float, gained: float, lost: float) -> Bounds:
    """Bounds of a change of a rate, from the shares gained and lost: Tango's (1998) paired score.

    Corrected for skewness (Gart and Nam 1990; Laud 2017) and by half a probe for continuity:
    without both the error is too large if few outcomes change.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, change = -float(ndtri(ERROR)), gained - lost

    def beyond(delta: float, sign: float) -> float:
        """By how much a true change of `delta` lies outside the bound on its side."""
        # The likeliest share lost under this change is the larger root of a quadratic equation.
        b = (2 - change) * delta - gained - lost
        share = (math.sqrt(max(0.0, b * b + 8 * lost * delta * (1 - delta))) - b) / 4
        variance = 2 * share + delta * (1 - delta)
        if variance <= 0:
            return sign * (delta - change) - 0.5 / n
        third = delta - 3 * delta * (variance + delta**2) + 2 * delta**3
        skewness = sign * (z * z - 1) / 6 * third / (variance * n)
        return sign * (delta - change) - 0.5 / n - max(0.0, z * math.sqrt(variance / n) - skewness)

    def bound(end: float, sign: float) -> float:
        start = change + sign * 1e-9  # the variance at the change itself may be 0
        if sign * (end - start) <= 0 or beyond(end, sign) <= 0:
            return end
        return float(brentq(beyond, start, end, args=(sign,), xtol=1e-12))

    return bound(-1.0, -1.0), bound(1.0, 1.0)


def units_of(values: Floats, clusters: Clusters | None) -> tuple[Floats, Floats]:
    """Sum and number of the values of each unit, sorted, so that input order has no effect."""
    import numpy as np

    order = np.argsort(values, kind="stable")
    codes = _codes(len(values), clusters)[order]
    totals = np.bincount(codes, weights=values[order]).astype(np.float64)
    sizes = np.bincount(codes).astype(np.float64)
    order = np.lexsort((totals, sizes))
    return totals[order], sizes[order]


def effective_units(values: Floats, clusters: Clusters | None) -> float:
    """The number of equal-sized clusters that would give as much information on a mean and its
    spread.

    These are Satterthwaite's (1946) degrees of freedom of the sum over clusters. A cluster's
    variance follows from its size and from the correlation within clusters, which has the prior
    of `effective_size`. If all clusters have one size, it is their number.
    """
    import numpy as np

    order = np.argsort(values, kind="stable")
    codes, ordered = _codes(len(values), clusters)[order], values[order]
    sizes = np.bincount(codes).astype(np.float64)
    several = int(np.count_nonzero(sizes > 1))
    if not several:
        return float(len(values))
    means = np.bincount(codes, weights=ordered) / sizes
    within = float(np.sum(np.sort((ordered - means[codes]) ** 2))) / (len(values) - len(sizes))
    total = float(np.var(ordered, ddof=1))
    shown = min(max(1 - within / total, 0.0), 1.0) if total > 0 else 1.0
    alike = (several * shown + ALIKE_CLUSTERS) / (several + ALIKE_CLUSTERS)
    sizes.sort()
    variances = sizes * (1 + (sizes - 1) * alike)
    return float(np.sum(variances) ** 2 / np.sum(variances**2))


def effective_size(values: Floats, telling: Flags, clusters: Clusters | None) -> tuple[int, float]:
    """The number of units, and the number of independent probes with as much information.

    The design effect (Kish 1965) is the variance of the mean over clusters divided by that over
    independent probes. Clusters without any `telling` probe do not show it. So the largest possible
    effect enters with the weight of `ALIKE_CLUSTERS`, beside what the others show.
    """
    import numpy as np

    n = len(values)
    totals, sizes = units_of(values, clusters)
    units = len(totals)
    if units == n:
        return n, float(n)
    largest = float(np.sum(sizes**2)) / n
    shown, weight = largest, 0
    variance = float(np.var(np.sort(values), ddof=1)) / n
    if units > 1 and variance > 0:
        residuals = totals - sizes * (float(np.sum(totals)) / n)
        between = units / (units - 1) * float(np.sum(residuals**2)) / n**2
        shown = min(max(between / variance, 1.0), largest)
        weight = len(np.unique(_codes(n, clusters)[telling]))
    effect = (weight * shown + ALIKE_CLUSTERS * largest) / (weight + ALIKE_CLUSTERS)
    return units, n / effect


def _codes(n: int, clusters: Clusters | None) -> NDArray[np.intp]:
    """The number of each value's unit; a value without a cluster is a unit of its own."""
    import numpy as np

    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise LLMDiffError(
            f"{n} values in {len(clusters)} clusters: each value needs one (or None)"
        )
    numbers: dict[Hashable, int] = {}
    keys = (("alone", i) if name is None else ("cluster", name) for i, name in enumerate(clusters))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
