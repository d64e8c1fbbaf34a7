"""One side of a mean: by which method it is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmdiff.verdicts.bounds import bounded_means, intervals
from pytest_llmdiff.verdicts.bounds.intervals import MIN_UNITS, Bounds, Moments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Begins the method of a side without a bound other than the end of the measure's support.
NO_METHOD = "no method"
GAFFKE = "bounded mean (Gaffke)"
HALL = "skewness-corrected t (Hall)"
HEAVY = f"{HALL}, widened for a heavy tail"


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """The values of the units, and the ends of the measure on this side, which is the upper one.

    For the lower one, everything is mirrored.

    `unseen` is the largest value that may be missing from the sample, `support` the largest
    possible one. With the former, the bound is that of a bounded mean. If it is infinite, Hall's is
    used; where that does not hold, because the units are few, equal, or have a heavy tail, again
    that of a bounded mean, up to the `support`, or a wider one if that is infinite as well.
    """

    values: Floats
    moments: Moments
    unseen: float
    support: float

    def bound(self, times: float, error: float) -> float:
        """The upper bound for so many times as many such units."""
        import numpy as np

        units = self.moments.times(times)
        end = self._end(units)
        if math.isinf(end):
            return intervals.upper_bound(units, error)
        whole = np.full(len(self.values), times)
        return bounded_means.upper_bound(self.values, whole, end, error)

    @property
    def heavy(self) -> bool:
        """Whether Hall's bound is widened."""
        return self.method == HEAVY

    @property
    def heavier(self) -> float | None:
        """See `intervals.heavier`; None where the bound is not Hall's."""
        return intervals.heavier(self.moments) if self.method in (HALL, HEAVY) else None

    @property
    def method(self) -> str:
        if math.isfinite(self._end(self.moments)):
            return GAFFKE
        if self.moments.count < MIN_UNITS:
            return f"{NO_METHOD} for fewer than {MIN_UNITS} units"
        if self.moments.spread == 0:
            return "equal values"
        return HEAVY if intervals.heavy_above(self.moments) else HALL

    def _end(self, units: Moments) -> float:
        end = self.unseen
        if math.isinf(end) and (units.spread == 0 or intervals.heavy_above(units)):
            end = self.support
        return max(end, float(self.values.max()))


def sides_of(values: Floats, support: Bounds, unseen: Bounds) -> tuple[Side, Side]:
    """The lower side, which is mirrored, and the upper one."""
    moments = intervals.moments_of(values)
    upper = Side(values=values, moments=moments, unseen=unseen[1], support=support[1])
    mirrored = Side(
        values=-values, moments=moments.mirrored, unseen=-unseen[0], support=-support[0]
    )
    return mirrored, upper


def method_of(lower: Side, upper: Side) -> str:
    if lower.method == upper.method:
        return lower.method
    return f"{lower.method} below, {upper.method} above"
