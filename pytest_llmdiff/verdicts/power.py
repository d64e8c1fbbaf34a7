"""What a set can show before it is run: from the number of its questions, and from a spread.

A set shows a change if the bound of its verdict does (`decisions.decide`). Counts of independent
outcomes have the binomial distribution, so the size that a share of `POWER` of the sets shows is
exact: of the fewest events that decide, it is the rate at which as many or more occur that often,
a quantile of the beta distribution (Clopper & Pearson 1934). The worst case is that of the largest
variance: a limit of one half for a rate and for a mean between 0 and 1 (Bhatia & Davis 2000), and
for the change of a rate, outcomes that all flip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pytest_llmdiff.verdicts.bounds.changes import change_bounds
from pytest_llmdiff.verdicts.decisions import LARGEST, POWER
from pytest_llmdiff.verdicts.estimates import change_estimate, rate_estimate
from pytest_llmdiff.verdicts.misclassification import rate_bounds

WORST_LIMIT = 0.5  # where a rate scatters most
GUESSING = 0.5  # the share of replies on which a judge errs that knows nothing


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The standard deviation of a measure over the questions of a set, as it was found; `source`
    says where."""

    value: float
    questions: int
    source: str


@dataclass(frozen=True, kw_only=True)
class PlannedSet:
    """A set of probes before it is run, and what is known of it: spreads by measure, and on which
    shares of the replies its judge errs or may err; none if the run has no judge."""

    test: str
    probes: int
    questions: int
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    judge_errors: tuple[float, ...] = ()


def detectable_rate(n: int, limit: float = WORST_LIMIT) -> float:
    """How far beyond a limit a rate of `n` independent outcomes is that is found with `POWER`.

    Infinite if not even a rate of 1 is. At `WORST_LIMIT` no mean between 0 and 1 is harder to tell
    from its limit, on either side.
    """

    def decides(events: int) -> bool:
        return rate_estimate(_first(events, n)).low > limit

    return _rate_with_power(n, decides) - limit


def detectable_change(n: int, *, one_way: bool) -> float:
    """The smallest change of a rate, in `n` independent pairs, that is told from none with `POWER`.

    With `one_way`, no outcome moves the other way, which is the easiest case; without, every
    outcome flips, which is the hardest. Infinite if no change is found.
    """

    def decides(moved: int) -> bool:
        before = [False] * n if one_way else [index >= moved for index in range(n)]
        return change_estimate(before, _first(moved, n)).low > 0

    moved = _rate_with_power(n, decides)
    return moved if one_way else 2 * moved - 1


def shown_without_events(n: int) -> tuple[float, float]:
    """Below which a rate, and a loss, are shown to be if nothing happens in `n` outcomes."""
    nothing = [False] * n
    return rate_estimate(nothing).high, -change_estimate(nothing, nothing).low


def judge_reach(n: int) -> float:
    """Half the interval of a judge's rate over `n` replies, at worst, if its errors were known."""
    return rate_bounds(n, 0.5)[1] - 0.5


def labels_needed(reach: float, n: int, errors: float) -> int | None:
    """How many labelled replies a judge needs for an interval of ± `reach` around its rate.

    `errors` is the share of replies on which it differs from people, as often one way as the other,
    which is the hardest case; its rate over the `n` replies of the set is one half. The interval is
    that of `prediction_powered.corrected_rate`. None if no number up to `LARGEST` would do.
    """
    own = judge_reach(n)

    def enough(labels: int) -> bool:
        rectifier = change_bounds(labels, errors / 2, errors / 2)[1]
        return math.hypot(own, rectifier) <= reach

    if own >= reach:
        return None
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
        if high > LARGEST:
            return None
    return _smallest(low, high, enough)


def _rate_with_power(n: int, decides: Callable[[int], bool]) -> float:
    """The rate at which at least as many of `n` outcomes as decide occur with `POWER`."""
    from scipy.special import betaincinv

    if n < 1 or not decides(n):
        return math.inf
    fewest = _smallest(0, n, decides)
    return float(betaincinv(fewest, n - fewest + 1, POWER))


def _smallest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest number above `low` at which a condition holds that does at `high`, and from
    there on."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _first(events: int, n: int) -> list[bool]:
    return [index < events for index in range(n)]
