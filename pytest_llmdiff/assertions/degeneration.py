"""Replies that are empty, loop, do not stop, change the language, or leak."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import overload

from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.judgement import Question, settle, settle_problems
from pytest_llmdiff.metrics.degeneration import Degeneration, newly
from pytest_llmdiff.views import View

DEGENERATE = View(support=(0.0, math.inf))
NEWLY_DEGENERATE = View(support=(0.0, math.inf), of=newly)


def assert_not_degenerate(subject: Subject, *, at_most: float | None = None) -> None:
    """The tuned reply is not empty, does not loop, stops where the base stops, keeps the language,
    and leaks neither marks of a template nor the prompt nor answers of the training.

    Args:
        subject: a comparison or a set of them.
        at_most: the largest allowed share of degenerate replies of a set; without it there may be
            none among those of the set.

    Raises:
        AssertionError: it does not; the message names each problem. Or the set is too small to
            bound the share.
    """
    __tracebackhide__ = True
    if at_most is None:
        settle_problems(subject, Degeneration())
    else:
        settle(subject, Degeneration(), [Question(view=DEGENERATE, at_most=at_most, over=0)])


@overload
def not_degenerate(subject: Comparison) -> Measurement: ...
@overload
def not_degenerate(subject: Iterable[Comparison]) -> list[Measurement]: ...
def not_degenerate(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """Number of signs of degeneration in the tuned reply; `details["problems"]` names them."""
    return measured(Degeneration(), subject)
