"""Bounds of a rate that a fallible detector counted, from its measured sensitivity and specificity.

Rogan and Gladen (1978): of a true rate p, a detector sees q = p·s + (1 − p)·(1 − c), so that
p = (q + c − 1) / (s + c − 1). Here the rate is that of replies that moved from one kind to the
other. Equal replies are read alike, rightly or wrongly, so only the share d of members whose
replies differ can move, or seem to: q = p·s + (d − p)·(1 − c). Differing replies in like words are
often misread alike as well, which makes these bounds wide rather than narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llmdiff.verdicts.bounds import bounded_means
from pytest_llmdiff.verdicts.bounds.intervals import ERROR, Bounds
from pytest_llmdiff.verdicts.set_verdicts import Evidence

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A detector against people: of `events` replies it found `found`, and of `others` it rightly
    left `left` alone."""

    found: int
    events: int
    left: int
    others: int

    @property
    def sensitivity(self) -> float:
        return self.found / self.events

    @property
    def specificity(self) -> float:
        return self.left / self.others

    def reversed(self) -> Labelled:
        """For the rate at which events ceased."""
        return Labelled(found=self.left, events=self.others, left=self.found, others=self.events)


def rate_bounds(n: float, rate: float) -> Bounds:
    """The exact bounds of a rate among `n` independent members, as a mean of zeros and ones."""
    import numpy as np

    counts = ((0.0, n - rate * n), (1.0, rate * n))
    values, times = np.array([each for each in counts if each[1] > 0]).T
    return (
        bounded_means.lower_bound(values, times, 0.0, ERROR),
        bounded_means.upper_bound(values, times, 1.0, ERROR),
    )


UNKNOWN = "the detector's errors are unknown, so the interval leaves them out"


def widened(evidence: Evidence, labelled: Labelled | None, differing: float) -> Evidence:
    """The evidence with bounds that allow for the detector's errors; if these are unknown, with a
    note on that.

    `differing` is the share of members whose replies differ, 0 to 1.
    """
    if labelled is None:
        return replace(evidence, details={**evidence.details, "errors": UNKNOWN})

    def wider(estimate: Estimate) -> Estimate:
        if math.isnan(estimate.value):
            return estimate
        plain = estimate.resized

        def resized(times: float) -> Bounds:
            bounds = (estimate.low, estimate.high) if plain is None else plain(times)
            n, share = estimate.clusters * times, max(differing, estimate.value)
            return _corrected(estimate.value, bounds, n, labelled, share)

        low, high = resized(1.0)
        method = f"{estimate.method}, widened by the detector's errors (Rogan and Gladen)"
        again = None if plain is None else resized
        return replace(estimate, low=low, high=high, method=method, resized=again)

    errors = {"sensitivity": labelled.sensitivity, "specificity": labelled.specificity}
    evidence = replace(evidence, details={**evidence.details, "errors": errors})
    found = wider(evidence.estimate)
    if evidence.highest is evidence.lowest:
        return replace(evidence, estimate=found, highest=found, lowest=found)
    highest, lowest = wider(evidence.highest), wider(evidence.lowest)
    return replace(evidence, estimate=found, highest=highest, lowest=lowest)


def _corrected(q: float, bounds: Bounds, n: float, labelled: Labelled, differing: float) -> Bounds:
    """The bounds of the true rate, no narrower than those of the rate `q` counted in `n` questions.

    The distances that the three sources of error allow are added by their squares (Zou and Donner
    2008), each at its own one-sided 95 % bound.
    """
    s, c = labelled.sensitivity, labelled.specificity
    if s + c <= 1:  # no better than chance
        return 0.0, 1.0

    def true_rate(q: float, s: float, c: float) -> float:
        return (q - differing * (1 - c)) / max(s + c - 1, 1e-9)

    s_low, s_high = rate_bounds(labelled.events, s)
    c_low, c_high = rate_bounds(labelled.others, c)
    rate = true_rate(q, s, c)
    low = rate - math.hypot(
        rate - true_rate(bounds[0], s, c),
        rate - true_rate(q, s_high, c),
        rate - true_rate(q, s, c_low),
    )
    high = rate + math.hypot(
        rate - true_rate(bounds[1], s, c),
        rate - true_rate(q, s_low, c),
        rate - true_rate(q, s, c_high),
    )
    # No more can have moved than have replies that differ.
    most = rate_bounds(n, differing)[1]
    return min(bounds[0], max(0.0, low)), max(bounds[1], min(1.0, most, high))
