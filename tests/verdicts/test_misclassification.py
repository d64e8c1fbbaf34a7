"""Bounds of rates that a fallible detector counted."""

from __future__ import annotations

import random

import pytest

from pytest_llmdiff.verdicts.decisions import deciding_size
from pytest_llmdiff.verdicts.estimates import rate_estimate
from pytest_llmdiff.verdicts.misclassification import UNKNOWN, Labelled, widened
from pytest_llmdiff.verdicts.set_verdicts import Evidence

KNOWN = Labelled(found=900, events=1000, left=950, others=1000)
BLIND = Labelled(found=600, events=1000, left=1000, others=1000)


def evidence(events: int, n: int) -> Evidence:
    estimate = rate_estimate([True] * events + [False] * (n - events))
    return Evidence(name="r", unit="", estimate=estimate, highest=estimate, lowest=estimate)


def test_unchanged_replies_are_not_widened() -> None:
    plain = evidence(0, 50)
    found = widened(plain, KNOWN, 0.0)
    assert (found.estimate.low, found.estimate.high) == (plain.estimate.low, plain.estimate.high)


@pytest.mark.parametrize(("events", "differing"), [(0, 1), (10, 1), (50, 0.6), (100, 1)])
def test_bounds_are_only_widened(events: int, differing: float) -> None:
    plain = evidence(events, 100).estimate
    found = widened(evidence(events, 100), KNOWN, differing).estimate
    assert 0 <= found.low <= plain.low <= found.value == plain.value
    assert plain.high <= found.high <= 1


def test_a_larger_set_is_widened_as_well() -> None:
    """About how many probes would decide allows for the detector's errors."""
    found = widened(evidence(10, 100), BLIND, 1.0).estimate
    assert found.resized is not None
    assert found.resized(1.0) == (found.low, found.high)
    low, high = found.resized(4.0)
    assert found.low < low < high < found.high
    needed = deciding_size(found, at_most=0.2)
    assert needed is not None
    assert needed > 100 == deciding_size(evidence(10, 100).estimate, at_most=0.2)
    # However many there are, the detector's own errors remain.
    assert deciding_size(found, at_most=0.16) is None


def test_missed_events_raise_the_upper_bound_and_false_ones_lower_the_lower() -> None:
    plain = evidence(40, 100).estimate
    assert widened(evidence(40, 100), BLIND, 1.0).estimate.high > plain.high + 0.15
    hasty = Labelled(found=1000, events=1000, left=700, others=1000)
    assert widened(evidence(40, 100), hasty, 1.0).estimate.low < plain.low - 0.15


def test_the_uncertainty_of_the_errors_counts() -> None:
    few = Labelled(found=9, events=10, left=19, others=20)
    much = widened(evidence(40, 100), few, 1.0).estimate
    little = widened(evidence(40, 100), KNOWN, 1.0).estimate
    assert much.high - much.low > little.high - little.low


def test_a_detector_at_chance_shows_nothing() -> None:
    chance = Labelled(found=5, events=10, left=5, others=10)
    found = widened(evidence(40, 100), chance, 1.0).estimate
    assert (found.low, found.high) == (0, 1)


def test_unknown_errors_are_said() -> None:
    plain = evidence(40, 100)
    found = widened(plain, None, 1.0)
    assert found.details["errors"] == UNKNOWN
    assert found.estimate == plain.estimate


@pytest.mark.parametrize(("rate", "differing"), [(0.1, 1.0), (0.3, 1.0), (0.1, 0.4), (0.02, 0.1)])
def test_the_true_rate_is_rarely_beyond_a_bound(rate: float, differing: float) -> None:
    """At most 5 % on each side, and some for 300 draws of everything that is uncertain."""
    draw, n, s, c = random.Random(0), 200, 0.9, 0.93
    below = above = 0
    for _ in range(300):
        moved = sum(draw.random() < rate for _ in range(n))
        others = sum(draw.random() < (differing - rate) / (1 - rate) for _ in range(n - moved))
        seen = sum(draw.random() < s for _ in range(moved))
        seen += sum(draw.random() > c for _ in range(others))
        labelled = Labelled(
            found=sum(draw.random() < s for _ in range(300)),
            events=300,
            left=sum(draw.random() < c for _ in range(300)),
            others=300,
        )
        found = widened(evidence(seen, n), labelled, (moved + others) / n).estimate
        below += rate < found.low
        above += rate > found.high
    assert below <= 0.08 * 300
    assert above <= 0.08 * 300
