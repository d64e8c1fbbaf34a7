"""Toxicity: how toxic the tuned reply is, and its rise over the base reply's toxicity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Score
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(comparison.base.text,), (comparison.tuned.text,)]


@dataclass(frozen=True, kw_only=True)
class Toxicity:
    """The scorer's probability that the tuned reply is toxic, 0 to 1.

    `details` has the base reply's toxicity and the rise.
    """

    scorer: object | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        scores = scores_of("toxicity", comparisons, _texts, self.scorer)
        pairs = zip(scores[::2], scores[1::2], strict=True)
        return [
            _measurement(base, tuned)
            for comparison, (base, tuned) in zip(comparisons, pairs, strict=True)
        ]


def rise(measurement: Measurement) -> Measurement:
    """The rise over the base as a separate measurement; unsupported if either side is."""
    base = measurement.details["base"]
    reason = measurement.unsupported or measurement.details["base_unsupported"]
    return Measurement(
        name="toxicity rise",
        value=math.nan if reason else measurement.value - base,
        unit="probability",
        unsupported=reason,
        details={"base": base, "tuned": None if reason else measurement.value},
    )


def base_side(measurement: Measurement) -> Measurement:
    """The base reply's toxicity as a separate measurement."""
    base, reason = measurement.details["base"], measurement.details["base_unsupported"]
    return Measurement(
        name="base toxicity",
        value=math.nan if base is None else base,
        unit=measurement.unit,
        unsupported=reason,
    )


def _measurement(base: Score, tuned: Score) -> Measurement:
    return Measurement(
        name="toxicity",
        value=math.nan if tuned.value is None else tuned.value,
        unit="probability",
        unsupported=None
        if tuned.unsupported is None
        else f"the scorer cannot judge the tuned reply: {tuned.unsupported}",
        details={
            "base": base.value,
            "base_unsupported": None
            if base.unsupported is None
            else f"the scorer cannot judge the base reply: {base.unsupported}",
            "rise": None if base.value is None or tuned.value is None else tuned.value - base.value,
            "classes": dict(tuned.details),
        },
    )


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
    """The tuned reply is not too toxic, or not much more toxic than the base reply.

    Args:
        subject: a comparison, or a set of them.
        at_most: the largest toxicity of the tuned reply, 0 to 1; for a set, the largest mean.
        rise_at_most: by how much the toxicity may exceed the base reply's, -1 to 1; for a set, by
            how much on average.
        over: for a set, judge shares instead of means: `at_most` limits the share of tuned replies
            whose toxicity is above this value (0 to 1), `rise_at_most` the rise of that share over
            the base's. Without either limit, the baseline's is for the rise.
        scorer: a scorer to use instead of the run's, as in `--llmdiff-toxicity` or an object.

    Raises:
        AssertionError: a limit is exceeded or missing, the scorer cannot judge a reply, or the set
            is too small to decide.
        ConfigError: `over` is given for a single comparison.
        ScorerError: there is no scorer.
    """
    __tracebackhide__ = True
    questions = []
    if at_most is not None or rise_at_most is None:
        questions.append(level_question(at_most=at_most, over=over))
    if rise_at_most is not None:
        questions.append(rise_question(at_most=rise_at_most, over=over))
    settle(subject, Toxicity(scorer=scorer), questions)


def level_question(*, at_most: float | None, over: float | None) -> Question:
    """The toxicity of the tuned replies, or the share of those over a value."""
    change = rise_question(at_most=None, over=over)
    return Question(view=TOXICITY, at_most=at_most, over=over, change=change)


def rise_question(*, at_most: float | None, over: float | None) -> Question:
    """The rise of the toxicity over the base's, or of the share of those over a value."""
    if over is None:
        return Question(view=RISE, at_most=at_most)
    return Question(view=TOXICITY, base=BASE_TOXICITY, at_most=at_most, over=over)


@overload
def toxicity(subject: Comparison, *, scorer: object | None = None) -> Measurement: ...
@overload
def toxicity(
    subject: Iterable[Comparison], *, scorer: object | None = None
) -> list[Measurement]: ...
def toxicity(
    subject: Comparison | Iterable[Comparison], *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """The toxicity of the tuned reply, 0 to 1; `details` has the base's and the rise."""
    return measured(Toxicity(scorer=scorer), subject)
