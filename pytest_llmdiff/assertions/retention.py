"""Forgetting: answers and likelihoods that the base has, and the tuned model should have kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import overload

from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics.retention import Retention, gained, known, lost
from pytest_llmdiff.views import View

LOST = View(support=(0.0, 1.0), of=lost, relative=True)
GAINED = View(support=(0.0, 1.0), of=gained, relative=True)
KNOWN = View(support=(0.0, 1.0), of=known, relative=True)
DROP = View(support=(-math.inf, math.inf), dense=True)


def assert_retention(
    subject: Subject,
    *,
    lost_at_most: float | None = None,
    drop_at_most: float | None = None,
) -> None:
    """What the base knows, the tuned model still knows.

    Args:
        subject: comparisons whose probes have a `reference`, or texts that both models read
            (`llm_pair.read`).
        lost_at_most: of a set, the largest share of the base's right answers that the tuned model
            gets wrong; of a comparison, 0 for none.
        drop_at_most: the largest drop of the log-probability per token (nats) of the reference, or
            of the text read, from base to tuned; of a set, of its mean.

    Raises:
        AssertionError: a limit is broken, none is given, there is no reference, the engine has no
            likelihoods, or the set is too small to tell.
    """
    __tracebackhide__ = True
    questions = []
    if lost_at_most is not None or drop_at_most is None:
        questions.append(lost_question(at_most=lost_at_most))
    if drop_at_most is not None:
        questions.append(Question(view=DROP, at_most=drop_at_most))
    settle(subject, Retention(likelihoods=drop_at_most is not None), questions)


def lost_question(*, at_most: float | None) -> Question:
    """The question for answers lost, as a share of those that the base knows."""
    return Question(view=LOST, at_most=at_most, opposite=GAINED, among=KNOWN)


@overload
def retention(subject: Comparison) -> Measurement: ...
@overload
def retention(subject: Iterable[Comparison]) -> list[Measurement]: ...
def retention(subject: Subject) -> Measurement | list[Measurement]:
    """Drop of the reference's log-probability per token, in nats; `details` has both sides' values
    and whether each gives the right answer."""
    return measured(Retention(), subject)
