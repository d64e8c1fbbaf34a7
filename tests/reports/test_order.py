"""What is worst, where measures have different scales and limits."""

from __future__ import annotations

import pytest

from pytest_llmdiff.reports.order import broken_verdicts, excess, worst_first
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
