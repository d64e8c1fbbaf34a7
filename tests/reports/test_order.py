"""What is worst, where measures have different scales and limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.reports.order import broken_verdicts, excess, signed_excess, worst_first
from tests.support.reports import row_of


def order(*values: tuple[float, float, str]) -> list[int]:
    """The places of the given values, limits and units, the worst first."""
    rows = [
        row_of(f"t.py::test[{n}]", value=v, limit=most) for n, (v, most, _) in enumerate(values)
    ]
    for row, (_, _, unit) in zip(rows, values, strict=True):
        row["verdicts"][0]["unit"] = unit
    by_test = [int(row["test"][-2]) for row in worst_first(rows)]
    assert by_test == [int(broken.row["test"][-2]) for broken in broken_verdicts(rows)]
    return by_test


def test_a_limit_of_zero_is_not_first() -> None:
    slight, rude = (0.1, 0.0, "probability"), (0.9, 0.2, "probability")
    assert order(slight, rude) == [1, 0]
    assert order((1.0, 0.0, "refusal"), rude) == [0, 1]


def test_what_has_no_end_does_not_outrank_what_has_one() -> None:
    far, rude = (9.0, 0.5, "nats per token"), (1.0, 0.0, "probability")
    assert order(far, rude) == [1, 0]
    assert order(far, (0.5, 0.2, "probability")) == [0, 1]
    assert order((1.0, 0.5, "nats per token"), far) == [1, 0]


@pytest.mark.parametrize("unit", ["nats", "nats per token", "probability"])
def test_at_the_limit_the_excess_is_zero(unit: str) -> None:
    (verdict,) = row_of("t.py::test", value=0.2, limit=0.2)["verdicts"]
    assert excess({**verdict, "unit": unit}) == 0


def of_set(value: float, limit: float, low: float, high: float) -> dict[str, Any]:
    (verdict,) = row_of("t.py::test", value=value, limit=limit)["verdicts"]
    return {**verdict, "set": {"low": low, "high": high}}


def test_a_set_counts_in_standard_errors_and_a_calibrated_limit_in_its_noise() -> None:
    assert excess(of_set(0.3, 0.1, 0.3 - 0.1645, 0.9)) == pytest.approx(2)
    assert signed_excess(of_set(0.3, 0.4, 0.0, 0.3 + 0.1645)) == pytest.approx(-1)
    (verdict,) = row_of("t.py::test", value=0.5, limit=0.1)["verdicts"]
    assert excess(verdict) == pytest.approx(4)
    assert excess({**verdict, "noise": 0.2}) == pytest.approx(2)
    assert excess({**verdict, "noise": 0.0}) == pytest.approx(40), "there is always some noise"


def test_a_group_beyond_the_limit_counts_where_its_set_is_not() -> None:
    kept = of_set(0.1, 0.2, 0.0, 0.1 + 0.1645)
    assert signed_excess(kept) < 0
    assert signed_excess({**kept, "details": {"worst group value": 0.4}}) == pytest.approx(2)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 5), st.sampled_from(["nats", "reply", "share"]),
                  st.none() | st.floats(0, 1)),
        min_size=1, max_size=9,
    )
)  # fmt: skip
def test_the_order_is_whole(values: list[tuple[float, float, str, float | None]]) -> None:
    rows = [row_of(f"t.py::test[{n}]", value=v, limit=m) for n, (v, m, *_) in enumerate(values)]
    for row, (*_, unit, noise) in zip(rows, values, strict=True):
        row["verdicts"][0] |= {"unit": unit, "noise": noise}
    held = [excess(broken.verdict) for broken in broken_verdicts(rows)]
    assert held == sorted(held, reverse=True)
    assert all(math.isfinite(distance) and distance >= 0 for distance in held)
