"""Estimates from a set of probes, with confidence bounds: a mean, a rate, a change of a rate.

The forms and repeats of a question count as one value, so the estimate is the mean over questions.
docs/statistics.md describes the methods, their sources and their measured error rates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.bounds import bounded_means, intervals
from pytest_llmdiff.verdicts.bounds.changes import MIN_PAIRS, change_bounds
from pytest_llmdiff.verdicts.bounds.clusters import Clusters, Units, units_of
from pytest_llmdiff.verdicts.bounds.intervals import ERROR, Bounds
from pytest_llmdiff.verdicts.bounds.sides import GAFFKE, NO_METHOD, method_of, sides_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT = "exact (Clopper-Pearson)"
TANGO = "paired score (Tango)"
LOPSIDED = f"{NO_METHOD} where a few questions hold nearly all probes"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, a rate or a change of a rate, with a one-sided confidence bound on each side.

    If no method is valid for such a set, the bounds are the ends of the measure's support, or
    infinite. `value` is NaN if nothing was measured, or a value is not finite. `clusters` counts
    the questions; `spread` is the standard deviation over them, so `spread / sqrt(clusters)` is the
    standard error. `heavy` says for the lower and the upper bound whether the set's tail on that
    side is heavier than the method holds for, so that the bound was widened. `heavier` is by how
    much the upper bound of another such set may be higher for the same reason; None where the
    measure has an end, or all values are equal. `over_probes` is the
    mean over all probes, which differs where questions with many forms do. `resized` gives the
    bounds that a set of so many times as many such questions would have.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    spread: float
    heavy: tuple[bool, bool] = (False, False)
    heavier: float | None = None
    over_probes: float = math.nan
    resized: Callable[[float], Bounds] | None = field(default=None, compare=False, repr=False)

    @property
    def lopsided(self) -> bool:
        """Whether a few of the questions hold nearly all probes, so that there are no bounds."""
        return self.method.startswith(LOPSIDED)


def mean_estimate(
    values: Sequence[float],
    clusters: Clusters | None = None,
    *,
    support: Bounds | None = None,
    unseen: Bounds | None = None,
    error: float = ERROR,
) -> Estimate:
    """The mean of a continuous measure, or of paired differences, over the questions of a set.

    `clusters` names the question of each value (None: one of its own). `support` is the lowest and
    highest possible value; `unseen` the range of values that are too rare to be in the sample, by
    default the support. `error` is the chance that a bound is wrong, on each side by itself.
    Raises `LLMDiffError` if the lengths differ.
    """
    import numpy as np

    support = support or (-math.inf, math.inf)
    lowest, highest = map(float, support)
    x = np.asarray(values, dtype=np.float64)
    unusable = int(np.count_nonzero(~np.isfinite(x)))
    if not len(x) or unusable:
        why = f"{unusable} of {len(x)} values are not finite" if unusable else "no values"
        return _unknown(len(x), (lowest, highest), why)
    # Scaled by the largest value, so that squares neither underflow nor overflow.
    scale = float(np.abs(x).max()) or 1.0
    units = units_of(x / scale, clusters)
    below, above = sides_of(
        units.values, _scaled((lowest, highest), scale), _scaled(unseen or support, scale)
    )

    def bounds(times: float) -> Bounds:
        return -below.bound(times, error) * scale, above.bound(times, error) * scale

    return _estimate(
        units,
        n=len(x),
        bounds=bounds,
        support=(lowest, highest),
        method=method_of(below, above),
        scale=scale,
        heavy=(below.heavy, above.heavy),
        heavier=None if above.heavier is None else above.heavier * scale,
    )


def rate_estimate(
    events: Sequence[bool], clusters: Clusters | None = None, *, error: float = ERROR
) -> Estimate:
    """The share of probes with an event, as a mean over questions. Raises as `mean_estimate`."""
    import numpy as np

    happened = np.asarray(events, dtype=np.float64)
    return _bounded(happened, clusters, (0.0, 1.0), EXACT, None, error)


def change_estimate(
    base: Sequence[bool],
    tuned: Sequence[bool],
    clusters: Clusters | None = None,
    *,
    error: float = ERROR,
) -> Estimate:
    """The change of a rate from base to tuned, paired by probe, as a mean over questions.

    Raises `LLMDiffError` if the lengths differ.
    """
    before, after = _paired(base, tuned)

    def paired_score(changes: Floats, times: float) -> Bounds | None:
        import numpy as np

        n = len(changes)
        if n * times < MIN_PAIRS:
            return None
        gained, lost = (int(np.count_nonzero(changes == way)) / n for way in (1, -1))
        return change_bounds(n * times, gained, lost, error)

    difference = after.astype(float) - before
    return _bounded(difference, clusters, (-1.0, 1.0), TANGO, paired_score, error)


def _bounded(
    values: Floats,
    clusters: Clusters | None,
    support: Bounds,
    whole_method: str,
    of_whole: Callable[[Floats, float], Bounds | None] | None,
    error: float,
) -> Estimate:
    """The mean over questions of whole numbers within a support.

    `of_whole` gives the bounds if the value of each question is a whole number, too; by default,
    and where it gives None, they are those of any bounded mean.
    """
    import numpy as np

    if not len(values):
        return _unknown(0, support, "no values")
    units = units_of(values, clusters)
    once = np.ones(len(units.values))
    whole = bool(np.all(units.values == np.rint(units.values)))

    def bounds(times: float) -> Bounds:
        found = of_whole(units.values, times) if whole and of_whole is not None else None
        return found or (
            bounded_means.lower_bound(units.values, once * times, support[0], error),
            bounded_means.upper_bound(units.values, once * times, support[1], error),
        )

    exact = whole and (of_whole is None or of_whole(units.values, 1.0) is not None)
    return _estimate(
        units,
        n=len(values),
        bounds=bounds,
        support=support,
        method=whole_method if exact else GAFFKE,
    )


def _estimate(
    units: Units,
    *,
    n: int,
    bounds: Callable[[float], Bounds],
    support: Bounds,
    method: str,
    scale: float = 1.0,
    heavy: tuple[bool, bool] = (False, False),
    heavier: float | None = None,
) -> Estimate:
    """The estimate of a mean over units, which are the values divided by `scale`.

    Its interval also contains the mean over probes: where a few questions with many forms move that
    beyond a limit, the mean over questions does not decide.
    """
    moments = intervals.moments_of(units.values)
    value, over_probes = moments.mean * scale, units.over_probes * scale

    def resized(times: float) -> Bounds:
        if units.lopsided_at(times):
            return support
        low, high = bounds(times)
        return (
            max(support[0], min(low, value, over_probes)),
            min(support[1], max(high, value, over_probes)),
        )

    low, high = resized(1.0)
    if units.lopsided:
        method = LOPSIDED
    elif len(units.values) < n:
        method = f"{method}, {len(units.values)} clusters"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=n,
        clusters=len(units.values),
        method=method,
        spread=moments.spread * scale,
        heavy=(False, False) if units.lopsided else heavy,
        heavier=heavier,
        over_probes=over_probes,
        resized=resized,
    )


def _scaled(ends: Bounds, scale: float) -> Bounds:
    return ends[0] / scale, ends[1] / scale


def _unknown(n: int, bounds: Bounds, why: str) -> Estimate:
    low, high = bounds
    return Estimate(
        value=math.nan, low=low, high=high, n=n, clusters=0, method=why, spread=math.nan
    )


def _paired(
    base: Sequence[bool], tuned: Sequence[bool]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    import numpy as np

    if len(base) != len(tuned):
        raise LLMDiffError(f"{len(base)} outcomes of the base, but {len(tuned)} of the tuned model")
    return np.asarray(base, dtype=bool), np.asarray(tuned, dtype=bool)
