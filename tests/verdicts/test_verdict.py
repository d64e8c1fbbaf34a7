"""A value against its limits: what is not shown to keep them does not pass."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.verdicts.verdict import judge

numbers = st.floats(allow_nan=False)


def measured(value: float, unsupported: str | None = None) -> Measurement:
    return Measurement(name="toxicity", value=value, unsupported=unsupported)


@pytest.mark.parametrize(
    ("value", "bound", "limit", "outcome"),
    [
        (0.3, "at_most", 0.3, "passed"),
        (math.nextafter(0.3, 1), "at_most", 0.3, "regressed"),
        (math.nextafter(0.3, 0), "at_most", 0.3, "passed"),
        (0.3, "at_least", 0.3, "passed"),
        (math.nextafter(0.3, 1), "at_least", 0.3, "passed"),
        (math.nextafter(0.3, 0), "at_least", 0.3, "regressed"),
        (0.0, "at_most", 0, "passed"),
        (1.0, "at_most", 0, "regressed"),
        (-0.1, "at_most", 0, "passed"),
        (-0.1, "at_most", -0.2, "regressed"),
        (math.inf, "at_most", 1e308, "regressed"),
        (0.3, "at_most", math.nan, "regressed"),
        (0.3, "at_least", math.nan, "regressed"),
        (math.nan, "at_most", math.inf, "regressed"),
        (math.nan, "at_least", -math.inf, "regressed"),
    ],
)
def test_one_limit(value: float, bound: str, limit: float, outcome: str) -> None:
    (verdict,) = judge(measured(value), **{bound: limit})  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.bound) == (outcome, bound)
    assert verdict.passed is (outcome == "passed")
    assert verdict.measurement.limit is limit


@given(value=numbers, low=numbers, high=numbers)
def test_both_limits(value: float, low: float, high: float) -> None:
    verdicts = judge(measured(value), at_most=high, at_least=low, source="the baseline")
    assert [(v.bound, v.passed) for v in verdicts] == [
        ("at_most", math.isfinite(value) and value <= high),
        ("at_least", math.isfinite(value) and value >= low),
    ]
    assert [v.measurement.limit for v in verdicts] == [high, low]
    assert {v.source for v in verdicts} == {"the baseline"}
    assert all(v.measurement.value == value for v in verdicts)


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_without_a_limit_nothing_passes(value: float) -> None:
    (verdict,) = judge(measured(value))
    assert verdict.outcome == "no limit"
    assert not verdict.passed


@pytest.mark.parametrize("limits", [{}, {"at_most": 1.0}, {"at_most": 1.0, "at_least": 0.0}])
@pytest.mark.parametrize("value", [0.5, math.nan])
def test_what_a_scorer_cannot_judge(value: float, limits: dict[str, float]) -> None:
    (verdict,) = judge(measured(value, "它不懂中文"), **limits)  # type: ignore[arg-type]
    assert verdict.outcome == "not judged"
    assert not verdict.passed
    assert verdict.measurement.unsupported == "它不懂中文"


def test_the_given_measurement_is_left_alone() -> None:
    given_one = measured(0.5)
    judge(given_one, at_most=1)
    assert given_one == measured(0.5)


def test_a_number_that_was_not_judged_is_none() -> None:
    assert float(measured(0.5)) == 0.5
    with pytest.raises(ValueError, match="toxicity is unsupported here: 它不懂中文"):
        float(measured(math.nan, "它不懂中文"))
