"""Intervals and decisions: properties, edges, and how often they are wrong."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.populations import (
    STRUCTURES,
    Population,
    change,
    log_normal,
    normal,
    rate,
)
from benchmarks.verdicts import simulate
from pytest_llmdiff.estimates import (
    Estimate,
    adjusted,
    change_estimate,
    decide,
    deciding_size,
    flips,
    mean_estimate,
    rate_estimate,
    smallest_effect,
)
from pytest_llmdiff.intervals import MIN_UNITS as FEWEST

values = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), max_size=60)
pairs = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)


def split(found: list[tuple[bool, bool]]) -> tuple[list[bool], list[bool]]:
    return [b for b, _ in found], [t for _, t in found]


# Means


@given(values)
def test_an_interval_holds_its_estimate(given_values: list[float]) -> None:
    found = mean_estimate(given_values)
    assert found.n == found.clusters == len(given_values)
    if given_values:
        assert found.value == pytest.approx(sum(given_values) / len(given_values), abs=1e-9)
        assert found.low <= found.value + 1e-9
        assert found.high >= found.value - 1e-9
    assert math.isinf(found.high) or len(given_values) >= FEWEST


@given(values, st.randoms(use_true_random=False))
def test_the_order_does_not_count(given_values: list[float], rnd: random.Random) -> None:
    clusters = [f"q{n % 12}" for n in range(len(given_values))]
    rows = list(zip(given_values, clusters, strict=True))
    mixed = rnd.sample(rows, len(rows))
    again = mean_estimate([v for v, _ in mixed])
    assert again == mean_estimate(given_values) or not given_values
    of_questions = mean_estimate([v for v, _ in mixed], [c for _, c in mixed])
    assert of_questions == mean_estimate(given_values, clusters) or not given_values


@given(
    st.lists(st.integers(-1000, 1000), min_size=FEWEST, max_size=60),
    st.floats(-50, 50),
    st.floats(0.1, 10),
)
def test_shifting_and_scaling_move_the_interval(
    given_values: list[int], shift: float, scale: float
) -> None:
    assume(len(set(given_values)) > 1)
    found = mean_estimate(given_values)
    moved = mean_estimate([scale * value + shift for value in given_values])
    for name in ("value", "low", "high"):
        expected = scale * getattr(found, name) + shift
        assert getattr(moved, name) == pytest.approx(expected, rel=1e-6, abs=1e-5)
    mirrored = mean_estimate([-value for value in given_values])
    assert mirrored.high == pytest.approx(-found.low, rel=1e-9, abs=1e-9)


def test_skewness_moves_the_bound_where_the_tail_is() -> None:
    skewed = [0.0] * 45 + [1.0] * 5
    found = mean_estimate(skewed)
    assert found.high - found.value > 1.5 * (found.value - found.low)


@pytest.mark.parametrize("count", range(FEWEST))
def test_few_values_bound_no_mean(count: int) -> None:
    found = mean_estimate([float(n % 3) for n in range(count)], support=(0.0, 2.0))
    assert (found.low, found.high) == (0.0, 2.0)
    assert decide(found, at_most=1.99) == decide(found, at_least=0.01) == "inconclusive"


def test_a_question_counts_once_however_often_it_is_asked() -> None:
    single = [float(n % 7) for n in range(20)]
    repeated = [value for value in single for _ in range(9)]
    clusters = [f"q{n}" for n in range(20) for _ in range(9)]
    found = mean_estimate(repeated, clusters)
    alone = mean_estimate(single)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert (found.n, found.clusters) == (180, 20)
    assert mean_estimate(repeated).high < found.high  # taken for independent, it looks surer
    few = mean_estimate([1.0, 2.0] * 90, [f"q{n % 3}" for n in range(180)])
    assert math.isinf(few.high)


def test_equal_values_show_only_that_others_are_rare() -> None:
    found = mean_estimate([0.0] * 50, support=(0.0, 2.0))
    assert (found.value, found.low) == (0.0, 0.0)
    # Were 5.8 % of them 2, one set in twenty would have shown none.
    assert found.high == pytest.approx(2 * (1 - 0.05 ** (1 / 50)))
    assert stats.binom.cdf(0, 50, found.high / 2) == pytest.approx(0.05)
    assert mean_estimate([0.0] * 50, support=(0.0, math.inf)).high == math.inf
    assert mean_estimate([0.0] * 59, support=(0.0, math.inf)).high == 0.0
    assert mean_estimate([2.0] * 50, support=(0.0, 2.0)).high == 2.0


# Rates


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_rates_have_exact_bounds(events: list[bool]) -> None:
    found, count = rate_estimate(events), sum(events)
    assert found.low <= found.value <= found.high
    if 0 < count < len(events):
        assert stats.binom.cdf(count, len(events), found.high) == pytest.approx(0.05, rel=1e-4)
        assert stats.binom.sf(count - 1, len(events), found.low) == pytest.approx(0.05, rel=1e-4)


def test_no_event_in_thirty_bounds_a_rate_by_a_tenth() -> None:
    assert rate_estimate([False] * 30).high == pytest.approx(0.095, abs=0.001)
    assert decide(rate_estimate([False] * 30), at_most=0.05) == "inconclusive"
    assert decide(rate_estimate([False] * 59), at_most=0.05) == "passed"
    assert rate_estimate([]).high == 1.0


@given(pairs)
def test_swapping_the_models_mirrors_the_change(found: list[tuple[bool, bool]]) -> None:
    base, tuned = split(found)
    there, back = change_estimate(base, tuned), change_estimate(tuned, base)
    if found:
        assert there.value == pytest.approx(-back.value)
        assert -1 <= there.low <= there.value + 1e-9
        assert there.value - 1e-9 <= there.high <= 1
    assert there.low == pytest.approx(-back.high)
    assert flips(base, tuned).p_value == pytest.approx(flips(tuned, base).p_value)


def test_flips_are_counted_and_tested_exactly() -> None:
    base, tuned = split([(False, True)] * 9 + [(True, False)] + [(True, True)] * 90)
    found = flips(base, tuned)
    assert (found.gained, found.lost) == (9, 1)
    assert found.p_value == pytest.approx(stats.binomtest(1, 10).pvalue)
    assert flips([True] * 5, [True] * 5).p_value == 1.0


def test_clustered_rates_need_questions() -> None:
    events = [n % 3 == 0 for n in range(100)]
    few = [f"q{n % 4}" for n in range(100)]
    many = [f"q{n % 50}" for n in range(100)]
    highs = [rate_estimate(events, clusters).high for clusters in (few, many, None)]
    assert highs == sorted(highs, reverse=True)
    assert highs[0] > highs[2] + 0.05
    assert change_estimate(events, events, many).clusters == 50


# Decisions


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3), st.floats(-5, 5))
def test_a_decision_is_what_the_interval_shows(
    value: float, below: float, above: float, limit: float
) -> None:
    found = Estimate(
        value=value, low=value - below, high=value + above, n=40, clusters=40, method="",
        spread=1.0,
        effective=40.0,
    )  # fmt: skip
    outcome = decide(found, at_most=limit)
    assert (outcome == "passed") == (found.high <= limit)
    assert (outcome == "regressed") == (found.low > limit)
    mirrored = replace(found, value=-value, low=-found.high, high=-found.low)
    assert decide(mirrored, at_least=-limit) == outcome
    size = deciding_size(found, at_most=limit)
    assert size is None or size >= found.n
    assert deciding_size(mirrored, at_least=-limit) == size


def test_the_deciding_size_decides() -> None:
    few = [0.1, 0.5] * 10
    size = deciding_size(mean_estimate(few), at_most=0.33)
    assert size is not None
    assert decide(mean_estimate(few), at_most=0.33) == "inconclusive"
    assert decide(mean_estimate(few * (size // 20 + 1)), at_most=0.33) == "passed"
    none = mean_estimate([0.0] * 20, support=(0.0, 2.0))
    size = deciding_size(none, at_most=0.03)
    assert size is not None
    assert decide(mean_estimate([0.0] * size, support=(0.0, 2.0)), at_most=0.03) == "passed"
    tiny = deciding_size(mean_estimate([0.1, 0.2]), at_most=0.3)
    assert tiny is not None
    assert tiny >= FEWEST


def test_no_size_decides_at_the_limit_itself() -> None:
    assert deciding_size(mean_estimate([0.1, 0.3] * 20), at_most=0.2) is None
    assert deciding_size(mean_estimate([]), at_most=0.2) is None
    # Equal values of a measure without an end are judged from the size at which others are rare.
    assert deciding_size(mean_estimate([0.0] * 20, support=(0, math.inf)), at_most=0.2) == 59


def test_what_a_set_can_detect_shrinks_with_its_size() -> None:
    assert smallest_effect(1.0, FEWEST - 1) == math.inf
    effects = [smallest_effect(2.0, n) for n in (10, 20, 50, 200)]
    assert effects == sorted(effects, reverse=True)
    drawn = stats.norm(loc=effects[2], scale=2.0).rvs((400, 50), random_state=1)
    found = sum(decide(mean_estimate(row.tolist()), at_most=0.0) == "regressed" for row in drawn)
    assert 0.72 < found / 400 < 0.88  # .80, four standard errors


def test_adjusted_p_values() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjusted([0.3]) == [0.3]


def test_very_many_values_are_judged_at_once() -> None:
    drawn = stats.lognorm(1.0).rvs(100_000, random_state=3)
    clusters = [f"q{n // 5}" for n in range(100_000)]
    found = mean_estimate(drawn.tolist(), clusters)
    assert found.clusters == 20_000
    assert found.low < math.exp(0.5) < found.high


# How often verdicts are wrong: a fast part of benchmarks/verdicts.py. The bands are four standard
# errors of 400 sets around what is promised, so that a bound that is wrong twice as often fails.

SETS = 400


def band(share: float) -> float:
    return 4 * math.sqrt(share * (1 - share) / SETS)


@pytest.mark.parametrize("population", [normal(), log_normal(), rate(0.8), change(0.8, -0.05)],
                         ids=lambda p: f"{p.kind} {p.name}")  # fmt: skip
@pytest.mark.parametrize("structure", STRUCTURES)
def test_verdicts_are_seldom_wrong(population: Population, structure: str) -> None:
    for cell in simulate([population], repetitions=SETS, sizes=[20, 100], structures=[structure]):
        assert (cell.worst("wrong_pass") or 0) <= 0.05 + band(0.05)
        assert (cell.worst("false_fail") or 0) <= 0.01 + band(0.01)
        assert (cell.worst("coverage") or 1) >= 0.90 - band(0.9)


def test_a_fall_of_ten_points_is_found_in_a_hundred_probes() -> None:
    (cell,) = simulate([change(0.8, -0.1)], repetitions=SETS, sizes=[100],
                       structures=["independent"])  # fmt: skip
    assert (cell.worst("power") or 0) >= 0.80 - band(0.8)
