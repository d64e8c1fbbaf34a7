"""Bounds of the change of a rate, from pairs of outcomes."""

from __future__ import annotations

import math

from pytest_llmdiff.verdicts.bounds.intervals import ERROR, Bounds

# From this number on, errors are computed exactly (tests/verdicts/bounds/test_changes.py).
MIN_PAIRS = 10


def change_bounds(n: float, gained: float, lost: float, error: float = ERROR) -> Bounds:
    """Bounds of a change of a rate, from `n` pairs and the shares gained and lost.

    Tango's (1998) paired score, corrected for skewness (Gart & Nam 1990; Laud 2017), and for
    continuity by at most half a pair: the more, the more the changes of the tested hypothesis go
    one way. If all do, the change is a binomial count, which needs the correction; if they balance,
    it needs none.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z, change = -float(ndtri(error * n / (n + 1))), gained - lost

    def beyond(delta: float, sign: float) -> float:
        """By how much a true change of `delta` lies outside the bound on its side."""
        # The likeliest share gained under this change is the larger root of a quadratic equation.
        b = (2 - change) * delta - gained - lost
        share = (math.sqrt(max(0.0, b * b + 8 * lost * delta * (1 - delta))) - b) / 4
        flips = 2 * share + delta
        variance = flips - delta**2
        one_way = min(1.0, abs(delta) / flips) if flips > 0 else 1.0
        distance = sign * (delta - change) - 0.5 / n * math.sqrt(one_way)
        if variance <= 0:
            return distance
        third = delta - 3 * delta * (variance + delta**2) + 2 * delta**3
        skewness = sign * (z * z - 1) / 6 * third / (variance * n)
        return distance - max(0.0, z * math.sqrt(variance / n) - skewness)

    def bound(end: float, sign: float) -> float:
        start = change + sign * 1e-9  # the variance at the change itself may be 0
        if sign * (end - start) <= 0 or beyond(end, sign) <= 0:
            return end
        return float(brentq(beyond, start, end, args=(sign,), xtol=1e-12))

    return bound(-1.0, -1.0), bound(1.0, 1.0)
