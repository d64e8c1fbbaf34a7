"""What a set can show, against simulated sets that are judged by the project's own bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from pytest_llmdiff.verdicts.decisions import POWER
from pytest_llmdiff.verdicts.estimates import change_estimate, mean_estimate, rate_estimate
from pytest_llmdiff.verdicts.power import (
    detectable_change,
    detectable_rate,
    judge_reach,
    labels_needed,
    shown_without_events,
)
from pytest_llmdiff.verdicts.prediction_powered import Labels, corrected_rate

SETS = 2000
NEAR = 0.03  # more than three standard errors of a share of 0.8 among them
Scores = Callable[[np.random.Generator, int, float], "np.ndarray[tuple[int], np.dtype[np.float64]]"]


@pytest.mark.parametrize("limit", [0.05, 0.5])
@pytest.mark.parametrize("n", [30, 60, 200])
def test_a_rate_is_found_with_the_power(n: int, limit: float) -> None:
    rate = limit + detectable_rate(n, limit)

    @cache
    def found(events: int) -> bool:
        return rate_estimate([index < events for index in range(n)]).low > limit

    events = np.random.default_rng(n).binomial(n, rate, SETS)
    assert np.mean([found(int(each)) for each in events]) == pytest.approx(POWER, abs=NEAR)


@pytest.mark.parametrize("one_way", [True, False])
@pytest.mark.parametrize("n", [8, 30, 60, 200])
def test_a_change_is_found_with_the_power(n: int, one_way: bool) -> None:
    change = detectable_change(n, one_way=one_way)
    flips = change if one_way else 1.0
    shares = [(flips + change) / 2, (flips - change) / 2, 1 - flips]
    assert _found(n, shares) == pytest.approx(POWER, abs=NEAR)


def test_other_flips_are_between_the_easiest_and_the_hardest() -> None:
    hardest = detectable_change(60, one_way=False)
    for flips in (0.4, 0.6, 0.8):
        assert _found(60, [(flips + hardest) / 2, (flips - hardest) / 2, 1 - flips]) > POWER
    easiest = detectable_change(60, one_way=True)
    assert _found(60, [easiest + 0.1, 0.1, 0.8 - easiest]) < POWER - 0.1


def _found(n: int, shares: list[float]) -> float:
    """The share of sets in which the outcomes gained are told from those lost."""

    @cache
    def shown(gained: int, lost: int) -> bool:
        before = [index >= gained for index in range(n)]
        after = [index < gained or index >= gained + lost for index in range(n)]
        return change_estimate(before, after).low > 0

    drawn = np.random.default_rng(n).multinomial(n, np.maximum(shares, 0), SETS)
    return float(np.mean([shown(int(gained), int(lost)) for gained, lost, _ in drawn]))


def _uniform(rng: np.random.Generator, n: int, mean: float):  # type: ignore[no-untyped-def]
    return rng.uniform(2 * mean - 1, 1, n)


def _three(rng: np.random.Generator, n: int, mean: float):  # type: ignore[no-untyped-def]
    ends = 0.7
    return rng.choice([0, 0.5, 1], n, p=[ends - mean + 0.15, 0.3, mean - 0.15])


def _skewed(rng: np.random.Generator, n: int, mean: float):  # type: ignore[no-untyped-def]
    return rng.beta(0.3 * mean, 0.3 * (1 - mean), n)


@pytest.mark.parametrize("scores", [_uniform, _three, _skewed])
def test_no_mean_of_scores_is_harder_to_tell_from_a_limit_than_a_rate(scores: Scores) -> None:
    rng, mean = np.random.default_rng(4), 0.5 + detectable_rate(60)
    drawn = [scores(rng, 60, mean) for _ in range(150)]
    lows = [mean_estimate(list(each), support=(0, 1)).low for each in drawn]
    assert np.mean([low > 0.5 for low in lows]) > POWER


def test_too_few_show_nothing() -> None:
    assert detectable_rate(4) == detectable_change(4, one_way=True) == math.inf
    assert detectable_rate(0) == detectable_change(1, one_way=False) == math.inf
    assert shown_without_events(30) == pytest.approx((0.0950, 0.0996), abs=1e-4)


def test_larger_sets_show_smaller_changes() -> None:
    assert detectable_change(200, one_way=False) < detectable_change(60, one_way=False)
    assert detectable_rate(200) < detectable_rate(60)


@pytest.mark.parametrize("errors", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("reach", [0.05, 0.1])
def test_so_many_labels_give_the_interval(reach: float, errors: float) -> None:
    n = 1000
    needed = labels_needed(reach, n, errors)
    assert needed is not None
    rng = np.random.default_rng(7)
    counted = rate_estimate([index % 2 == 0 for index in range(n)])
    widths = []
    for _ in range(200):
        people = rng.random(needed) < 0.5
        judge = people ^ (rng.random(needed) < errors)
        found = corrected_rate(counted, Labels(judge=list(judge), people=list(people)))
        widths.append((found.high - found.low) / 2)
    assert np.mean(widths) == pytest.approx(reach, rel=0.06)


def test_labels_cannot_make_up_for_too_few_replies() -> None:
    assert labels_needed(0.1, 60, 0.0) is None
    assert judge_reach(60) > 0.1
    assert labels_needed(0.12, 60, 0.05) is not None
