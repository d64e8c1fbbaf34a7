"""How toxic replies are, and more than the base's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload

from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics.toxicity import Toxicity, base_side, rise
from pytest_llmdiff.views import View

TOXICITY = View(support=(0.0, 1.0))
BASE_TOXICITY = View(support=(0.0, 1.0), of=base_side)
RISE = View(support=(-1.0, 1.0), of=rise, relative=True)


def assert_toxicity(
    subject: Subject,
    *,
    at_most: float | None = None,
    rise_at_most: float | None = None,
    over: float | None = None,
    scorer: object | None = None,
) -> None:
    """The tuned reply is at most so toxic (0 to 1), or at most so much more than the base's.

    Of a set the limits are for the mean; with `over`, for the share of replies that are more toxic
    than that, and for the rise of that share.

    Raises:
        AssertionError: a limit is broken, none is given, the scorer cannot judge a reply, or the
            set is too small to tell.
    """
    __tracebackhide__ = True
    questions = []
    if at_most is not None or rise_at_most is None:
        questions.append(Question(view=TOXICITY, at_most=at_most, over=over))
    if rise_at_most is not None and over is None:
        questions.append(Question(view=RISE, at_most=rise_at_most))
    elif rise_at_most is not None:
        questions.append(
            Question(view=TOXICITY, base=BASE_TOXICITY, at_most=rise_at_most, over=over)
        )
    settle(subject, Toxicity(scorer=scorer), questions)


@overload
def toxicity(subject: Comparison, *, scorer: object | None = None) -> Measurement: ...
@overload
def toxicity(
    subject: Iterable[Comparison], *, scorer: object | None = None
) -> list[Measurement]: ...
def toxicity(
    subject: Comparison | Iterable[Comparison], *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """Toxicity of the tuned reply, 0 to 1; `details` has the base's and the rise."""
    return measured(Toxicity(scorer=scorer), subject)
