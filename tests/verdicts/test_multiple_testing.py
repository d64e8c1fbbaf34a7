"""Adjusted p-values, and how likely an unchanged model turns a run red."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_llmdiff.verdicts.multiple_testing import adjust, adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_values_are_those_of_scipy(p_values: list[float]) -> None:
    assert adjusted(p_values) == list(stats.false_discovery_control(p_values))


def test_adjusted_values_are_those_of_benjamini_and_hochberg() -> None:
    assert adjusted([]) == []
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_verdicts_without_a_p_value_get_none() -> None:
    rows: list[dict[str, Any]] = [
        {"verdicts": [{"p": 0.01}, {"p": None}]}, {"verdicts": [{"p": 0.5}]}
    ]  # fmt: skip
    adjust(rows)
    assert rows[0]["verdicts"][0]["adjusted"] == pytest.approx(0.02)
    assert rows[0]["verdicts"][1]["adjusted"] is None
    assert rows[1]["verdicts"][0]["adjusted"] == 0.5
