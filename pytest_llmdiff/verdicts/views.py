"""The parts of a measurement that can be judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmdiff.data.comparison import Measurement


def itself(measurement: Measurement) -> Measurement:
    return measurement


@dataclass(frozen=True, kw_only=True)
class View:
    """What is judged of a metric's measurements, and the least and most that it can be.

    `unseen` are the least and most of values that a set does not happen to show: the support,
    unless no reply brings the measure near its ends.

    `relative` says that it is of the tuned reply beside the base's, as texts: an accepted reply
    takes the place of the latter then. `dense` says that a change of the model moves every value,
    if only a little: values that are all equal are no chance then, and none are unseen.
    """

    support: tuple[float, float]
    unseen: tuple[float, float] | None = None
    of: Callable[[Measurement], Measurement] = itself
    relative: bool = False
    dense: bool = False
