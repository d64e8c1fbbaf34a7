"""Decides whether an estimate keeps a limit: passed, regressed, or how many probes would decide.

Pure functions, like those in `estimates`.
"""

from __future__ import annotations

import math
from typing import Literal

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.bounds.intervals import MIN_UNITS, Bounds, symmetric_reach
from pytest_llmdiff.verdicts.estimates import Estimate

SetOutcome = Literal["passed", "regressed", "inconclusive"]

# The largest set that is considered.
LARGEST = 10**7
# The share of sets that decide at the size that is named.
POWER = 0.8


def decide(
    estimate: Estimate, *, at_most: float | None = None, at_least: float | None = None
) -> SetOutcome:
    """Passed or regressed only if a bound shows it; NaN is inconclusive.

    Raises `LLMDiffError` unless exactly one limit is given.
    """
    low, high, limit = _facing((estimate.low, estimate.high), at_most, at_least)
    if math.isnan(estimate.value):
        return "inconclusive"
    return "passed" if high <= limit else "regressed" if low > limit else "inconclusive"


def deciding_size(
    estimate: Estimate, *, at_most: float | None = None, at_least: float | None = None
) -> int | None:
    """At how many such questions a share of `POWER` of the sets would decide.

    Such sets are samples of a population with the value, the spread and the questions of this one,
    each with as many forms and repeats.
    Their values scatter by the standard error, so those of `POWER` of them are not farther towards
    the limit than its quantile. None if no number up to `LARGEST` would do. Raises as `decide`.
    """
    from scipy.special import ndtri

    if decide(estimate, at_most=at_most, at_least=at_least) != "inconclusive":
        return estimate.clusters
    if math.isnan(estimate.value) or estimate.resized is None:
        return None
    scatter = float(ndtri(POWER)) * estimate.spread / math.sqrt(estimate.clusters)
    resized = estimate.resized

    def decides(n: int) -> bool:
        times = n / estimate.clusters
        low, high, limit = _facing(resized(times), at_most, at_least)
        away = scatter / math.sqrt(times)
        return high + away <= limit or low - away > limit

    below, size = estimate.clusters, 2 * estimate.clusters
    while not decides(size):
        below, size = size, 2 * size
        if size > LARGEST:
            return None
    while size - below > 1:
        middle = (size + below) // 2
        below, size = (below, middle) if decides(middle) else (middle, size)
    return size


def smallest_effect(spread: float, n: int, *, power: float = POWER) -> float:
    """The smallest distance of a mean from its limit that `n` units detect with this power.

    The values are normal and have no known ends. Infinite if there are too few units to judge a
    mean. Raises `LLMDiffError` if the power is not between 0 and 1.
    """
    if not 0 < power < 1:
        raise LLMDiffError(f"power {power}: give one between 0 and 1, such as 0.8")
    if n < MIN_UNITS:
        return math.inf
    from scipy.optimize import brentq
    from scipy.special import chdtrc, nctdtr

    threshold = symmetric_reach(n)

    def excess_error(shift: float) -> float:
        """The share of t values below the threshold under this shift, less the allowed share."""
        below = float(nctdtr(n - 1, shift, threshold))
        if math.isnan(below):
            # It underflows beyond a shift of 38, where only the denominator of t still varies.
            below = float(chdtrc(n - 1, (n - 1) * (shift / threshold) ** 2))
        return below - (1 - power)

    # From below the threshold to far above it. Below 0 `nctdtr` may fail, where the shift is needed
    # only for a power that no effect at all would have.
    lowest = 0 if excess_error(0) > 0 else -10
    shift = brentq(excess_error, lowest, 5 * threshold + 10)
    return float(shift) / math.sqrt(n) * spread


def _facing(
    bounds: Bounds, at_most: float | None, at_least: float | None
) -> tuple[float, float, float]:
    """Bounds and limit, mirrored if necessary so that the limit is an upper one."""
    if at_most is not None and at_least is None:
        return *bounds, at_most
    if at_least is not None and at_most is None:
        return -bounds[1], -bounds[0], -at_least
    raise LLMDiffError(f"at_most={at_most}, at_least={at_least}: give exactly one limit")
