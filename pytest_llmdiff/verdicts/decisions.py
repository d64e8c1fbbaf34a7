"""Decides whether an estimate keeps a limit: passed, regressed, or how many probes would decide.

Pure functions, like those in `estimates`.
"""

from __future__ import annotations

import math
from typing import Literal

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.estimates import Estimate
from pytest_llmdiff.verdicts.intervals import (
    MIN_PAIRS,
    MIN_UNITS,
    Bounds,
    change_bounds,
    equal_bounds,
    level,
    mean_bounds,
    rate_bounds,
)

SetOutcome = Literal["passed", "regressed", "inconclusive"]

# The largest set that is considered.
LARGEST = 10**9


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
    """How many such probes would decide if value, spread and clusters stayed the same.

    None if no number would: the value equals the limit, or is unknown. Raises as `decide`.
    """
    if decide(estimate, at_most=at_most, at_least=at_least) != "inconclusive":
        return estimate.n
    if math.isnan(estimate.value):
        return None

    def decides(n: int) -> bool:
        low, high, limit = _facing(_bounds_at(estimate, n), at_most, at_least)
        return high <= limit or low > limit

    below, size = estimate.n, 2 * estimate.n
    while not decides(size):
        below, size = size, 2 * size
        if size > LARGEST:
            return None
    while size - below > 1:
        middle = (size + below) // 2
        below, size = (below, middle) if decides(middle) else (middle, size)
    return size


def smallest_effect(spread: float, n: int, *, power: float = 0.8) -> float:
    """The smallest distance of a mean from its limit that `n` units detect with this power.

    Infinite if there are too few units to judge a mean. Raises `LLMDiffError` if the power is not
    between 0 and 1.
    """
    if not 0 < power < 1:
        raise LLMDiffError(f"power {power}: give one between 0 and 1, such as 0.8")
    if n < MIN_UNITS:
        return math.inf
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    threshold = float(stdtrit(n - 1, 1 - level(n)))

    def excess_error(shift: float) -> float:
        """The share of t values below the threshold under this shift, less the allowed share."""
        return float(nctdtr(n - 1, shift, threshold)) - (1 - power)

    # From below the threshold to far above it. Beyond some 38 `nctdtr` underflows to NaN, and below
    # 0 it may fail, where the shift is needed only for a power that no effect at all would have.
    lowest = 0 if power > level(n) else -10
    shift = brentq(excess_error, lowest, 3 * threshold + 10)
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


def _bounds_at(estimate: Estimate, n: int) -> Bounds:
    """The bounds that `n` probes like those of the estimate would have."""
    effective = estimate.effective * n / estimate.n
    if len(estimate.shares) == 1:
        return rate_bounds(effective, *estimate.shares)
    if estimate.shares:
        units = estimate.clusters * n // estimate.n
        few = units < MIN_PAIRS
        return (-math.inf, math.inf) if few else change_bounds(effective, *estimate.shares)
    if effective < MIN_UNITS:
        return -math.inf, math.inf
    if estimate.spread:
        spread = estimate.spread * math.sqrt(estimate.effective / estimate.clusters)
        return mean_bounds(estimate.value, spread, estimate.skewness, effective, estimate.unseen)
    return equal_bounds(estimate.value, effective, estimate.unseen)
