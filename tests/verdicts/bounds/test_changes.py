"""Bounds of a change of a rate, by computing their errors exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytest_llmdiff.verdicts.bounds.changes import change_bounds


def tables(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every count (gained, lost, unchanged) of so many pairs, and the bounds of each."""
    counts = np.array([(g, lost, n - g - lost) for g in range(n + 1) for lost in range(n + 1 - g)])
    return counts, np.array([change_bounds(n, g / n, lost / n) for g, lost, _ in counts])


@pytest.mark.parametrize("n", [10, 12, 23, 40])
def test_errors_over_all_tables(n: int) -> None:
    """Of both bounds, for many true changes, whether all of them go one way or not."""
    counts, bounds = tables(n)
    for truth in (0.0, -0.02, -0.05, -0.1, -0.2):
        for gained in np.linspace(0, (0.9 + truth) / 2, 8):
            lost = gained - truth
            weights = stats.multinomial.pmf(counts, n, [gained, lost, 1 - gained - lost])
            assert weights[bounds[:, 0] > truth + 1e-9].sum() < 0.06
            assert weights[bounds[:, 1] < truth - 1e-9].sum() < 0.06


@pytest.mark.parametrize(("n", "power"), [(20, 0.29), (40, 0.49)])
def test_ten_points_lost_are_found(n: int, power: float) -> None:
    """12.8 % lost and 2.8 % gained: as often as by the score without any correction."""
    counts, bounds = tables(n)
    weights = stats.multinomial.pmf(counts, n, [0.028, 0.128, 0.844])
    assert weights[bounds[:, 1] < 0].sum() > power


def test_a_smaller_error_widens_the_bounds() -> None:
    wide, narrow = (change_bounds(60, 0.05, 0.1, error) for error in (0.005, 0.05))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
