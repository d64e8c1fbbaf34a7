"""One-sided 95 % bounds of the mean of values without known ends.

Deterministic, and independent of the order of the values. docs/statistics.md names the sources and
the simulation by which the constants were chosen (benchmarks/verdicts.py). Distributions come from
scipy.special: importing scipy.stats takes longer than computing a verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Bounds = tuple[float, float]

ERROR = 0.05
# With fewer units such a mean has no bounds.
MIN_UNITS = 5
# Equal values bound the share of others. Where that is below this, the mean is taken for theirs.
OTHERS = 0.05
# Hall's correction estimates the skewness from the sample, and small samples look less skewed than
# their population. So a bound is made for a smaller error: a quarter of it at this number of units.
SHAPE_UNITS = 25
# A sample's skewness divided by the root of its size shows a heavy tail if it is larger than
# `HEAVY`. From `HEAVY_UNITS` on, less is enough: by the power `HEAVY_POWER` of their number.
HEAVY, HEAVY_UNITS, HEAVY_POWER = 0.3, 50, 0.2
# With fewer units a sample does not show how heavy its tail is.
TAIL_UNITS = 13
# In a heavy tail, values that the sample missed are taken to be so many standard deviations away.
FAR = 16
# Deviations below this fraction of the largest value are rounding errors.
ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean, standard deviation and skewness of the units of a sample."""

    count: float
    mean: float
    spread: float
    skewness: float

    def times(self, times: float) -> Moments:
        """Those of so many times as many such units."""
        return replace(self, count=self.count * times)

    @property
    def mirrored(self) -> Moments:
        return replace(self, mean=-self.mean, skewness=-self.skewness)


def moments_of(values: Floats) -> Moments:
    """The moments of values that are at most about 1 in size, so that no square overflows."""
    import numpy as np

    count = len(values)
    mean = math.fsum(values) / count
    deviations = values - mean
    farthest = float(np.abs(deviations).max())
    if farthest <= ROUNDING:
        return Moments(count=count, mean=mean, spread=0.0, skewness=0.0)
    scaled = deviations / farthest
    variance = float(np.mean(scaled**2))
    return Moments(
        count=count,
        mean=mean,
        spread=math.sqrt(variance * count / (count - 1)) * farthest,
        skewness=float(np.mean(scaled**3)) / variance**1.5,
    )


def level(units: float, error: float = ERROR) -> float:
    """The nominal one-sided error of Hall's bound that keeps the real one at `error`."""
    return error * (units / (units + SHAPE_UNITS)) ** 2


def unseen_share(units: float, error: float = ERROR) -> float:
    """The largest share of values that none of `units` shows (Clopper & Pearson 1934)."""
    return 1 - math.pow(error, 1 / units)


def fewest(limit: float) -> int:
    """How many units without an event show that its rate is at most `limit`, between 0 and 1."""
    return math.ceil(math.log(ERROR) / math.log1p(-limit))


def heavy_above(units: Moments) -> bool:
    """Whether the upper tail is heavier than Hall's bound holds for, or may be."""
    limit = HEAVY * min(1.0, (HEAVY_UNITS / units.count) ** HEAVY_POWER)
    return units.count < TAIL_UNITS or units.skewness / math.sqrt(units.count) > limit


def heavier(units: Moments) -> float:
    """By how much the upper bound of another such sample may be higher if its tail seems heavier:
    not at all if this one is not skewed."""
    skewed = min(1.0, max(0.0, units.skewness))
    return unseen_share(units.count) * FAR * units.spread * skewed


def upper_bound(units: Moments, error: float = ERROR) -> float:
    """The upper bound of a mean, or infinity if there is none.

    By Hall (1992), who inverts the cubic transformation that removes the skewness of t. If the tail
    is heavy, values that the sample missed may lie `FAR` above the mean.
    """
    if units.count < MIN_UNITS:
        return math.inf
    unseen = unseen_share(units.count, error)
    if units.spread == 0:
        return math.inf if unseen >= OTHERS else units.mean
    missed = unseen * FAR * math.sqrt(units.count) if heavy_above(units) else 0.0
    return units.mean + (_reach(units, error) + missed) * units.spread / math.sqrt(units.count)


def symmetric_reach(units: float, error: float = ERROR) -> float:
    """How many standard errors a bound is away from the mean of symmetric values."""
    flat = Moments(count=units, mean=0.0, spread=math.sqrt(units), skewness=0.0)
    return upper_bound(flat, error)


def _reach(units: Moments, error: float) -> float:
    from scipy.special import stdtrit

    quantile = float(stdtrit(units.count - 1, level(units.count, error)))  # negative
    g = units.skewness / math.sqrt(units.count)
    if abs(g) < 1e-6:  # the formula's limit for g = 0, which rounding would spoil
        return -quantile
    return -3 / g * (math.cbrt(1 + g * (quantile - g / 6)) - 1)
