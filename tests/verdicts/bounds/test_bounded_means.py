"""Gaffke's bound: against Clopper and Pearson's, against sampled weights, and by property."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmdiff.verdicts.bounds.bounded_means import (
    DISTINCT,
    _merged,
    _quantile,
    lower_bound,
    upper_bound,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def upper(values: list[float], error: float = 0.05) -> float:
    return upper_bound(np.asarray(values), np.ones(len(values)), 1.0, error)


def lower(values: list[float], error: float = 0.05) -> float:
    return lower_bound(np.asarray(values), np.ones(len(values)), 0.0, error)


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.05, 0.01, 1e-4]))
def test_of_outcomes_it_is_the_exact_interval(n: int, events: int, error: float) -> None:
    events = min(events, n)
    outcomes = [1.0] * events + [0.0] * (n - events)
    theirs = stats.binomtest(events, n).proportion_ci(1 - 2 * error, method="exact")
    assert upper(outcomes, error) == pytest.approx(theirs.high, abs=1e-12)
    assert lower(outcomes, error) == pytest.approx(theirs.low, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([0.05, 0.01]))
def test_the_integral_agrees_with_the_beta_distribution(far: int, near: int, error: float) -> None:
    """Two places are a shortcut: the weight of one of them. The general way gives the same."""
    found = _quantile(*_merged(np.array([0.0, 1.0]), np.array([near, far], dtype=float)), error)
    assert found == pytest.approx(stats.beta.ppf(error, far, near), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("n", [1, 2, 5, 30, 200])
def test_it_is_a_quantile_over_dirichlet_weights(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.beta(0.3, 1, size=n)
    weights = rng.exponential(size=(40_000, n + 1))
    means = weights @ np.append(np.sort(values), 1.0) / weights.sum(axis=1)
    share = np.mean(means > upper(values.tolist()))
    assert share == pytest.approx(0.05, abs=0.005)


@settings(deadline=None, max_examples=60)
@given(SCORES, st.randoms(use_true_random=False))
def test_properties(values: list[float], random: object) -> None:
    low, high = lower(values), upper(values)
    assert -1e-9 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1 + 1e-9
    # As wide as if the share of unseen values were at the end, and wider for a smaller error.
    share = 1 - 0.05 ** (1 / len(values))
    assert high >= min(values) + share * (1 - min(values)) - 1e-6
    assert upper(values, 0.01) >= high - 1e-7
    random.shuffle(values)  # type: ignore[attr-defined]
    assert upper(values) == high
    assert upper([min(1.0, value + 0.1) for value in values]) >= high - 1e-6
    mirrored = [1 - value for value in values]
    assert 1 - lower(mirrored) == pytest.approx(high, abs=1e-6)


def test_many_values_are_merged() -> None:
    """To the same bound or a slightly wider one, in milliseconds."""
    values = np.random.default_rng(0).beta(0.5, 4, size=DISTINCT)
    exact = upper_bound(values, np.full(DISTINCT, 100.0), 1.0, 0.05)
    repeated = np.repeat(values, 100)
    spread_out = np.clip(repeated + 1e-9 * np.arange(len(repeated)) / len(repeated), 0, 1)
    started = time.process_time()
    found = upper_bound(spread_out, np.ones(len(repeated)), 1.0, 0.05)
    assert time.process_time() - started < 1
    assert found == pytest.approx(exact, abs=2e-5)
    assert found > exact - 1e-7
