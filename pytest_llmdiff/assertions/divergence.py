"""How far the predictions moved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import overload

from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics.divergence import Divergence
from pytest_llmdiff.views import View

DIVERGENCE = View(support=(0.0, math.inf), dense=True)


def assert_divergence(subject: Subject, *, at_most: float | None = None) -> None:
    """KL(base‖tuned) on the base's reply is at most so many nats per token; of a set, the mean.

    Raises:
        AssertionError: the limit is broken, none is given, the two cannot be compared, or the set
            is too small to tell.
    """
    __tracebackhide__ = True
    settle(subject, Divergence(), [Question(view=DIVERGENCE, at_most=at_most)])


@overload
def divergence(subject: Comparison) -> Measurement: ...
@overload
def divergence(subject: Iterable[Comparison]) -> list[Measurement]: ...
def divergence(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """KL(base‖tuned) in nats, mean over the tokens of the base's reply, teacher-forced."""
    return measured(Divergence(), subject)
