"""Views: which quantity of a measurement is judged, and the range of its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmdiff.data.comparison import Measurement


def itself(measurement: Measurement) -> Measurement:
    return measurement


@dataclass(frozen=True, kw_only=True)
class View:
    """A quantity of a metric's measurements, and its smallest and largest possible value.

    `of` takes the quantity from a measurement. `unseen` is the range of values that a sample may
    have missed: by default the support, narrower if no reply comes near its ends.

    `relative` says that the quantity compares the tuned reply's text with the base's; an accepted
    reply then replaces the base's. `dense` says that any change of the model moves every value at
    least a little: values that are all equal are then no coincidence, and none are missed.
    """

    support: tuple[float, float]
    unseen: tuple[float, float] | None = None
    of: Callable[[Measurement], Measurement] = itself
    relative: bool = False
    dense: bool = False
