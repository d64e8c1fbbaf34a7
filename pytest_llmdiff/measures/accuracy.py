"""Accuracy: the share of right replies, and whether tuning made it better or worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ConfigError, ScorerError, did_you_mean
from pytest_llmdiff.measures.limits import check_within
from pytest_llmdiff.measures.retention import NO_REFERENCE, Retention
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.shares import shares
from pytest_llmdiff.measures.subject import Subject, measured, set_of

Correct = str | Callable[[str, Probe], bool | float]
SHARES = shares(
    "accuracy",
    unit="share of right answers",
    noun="answers",
    base_right="base accuracy",
    wrong="wrong answer",
    base_wrong="wrong answer of the base",
    lost="answer lost",
)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How right the tuned reply is: 1 for right and 0 for wrong, or a share between them where
    `correct` gives one. `details` has the base's.

    Without `correct`, a reply is right as in `Retention`.
    """

    correct: Correct | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if self.correct is None:
            return [_retained(m) for m in Retention(likelihoods=False).measure(comparisons)]
        if callable(self.correct):
            return [self._by_callable(self.correct, comparison) for comparison in comparisons]
        from pytest_llmdiff.data.text.matching import MATCHING

        if self.correct in MATCHING:
            return [_matching(MATCHING[self.correct], comparison) for comparison in comparisons]
        if ":" not in self.correct:
            raise ConfigError(
                f"correct={self.correct!r}: give {', '.join(MATCHING)}, a callable, "
                "python:module:object or hf:LOCATION#LABEL"
                f"{did_you_mean(self.correct.lower(), MATCHING)}"
            )
        return _scored(comparisons, self.correct)

    def _by_callable(
        self, correct: Callable[[str, Probe], bool | float], comparison: Comparison
    ) -> Measurement:
        def share(reply: Reply) -> float:
            found: object = correct(reply.text, comparison.probe)
            if not isinstance(found, Real) or not 0 <= float(found) <= 1:
                raise ScorerError(
                    f"correct= returned {found!r} for {comparison.probe.id}: it returns True or "
                    "False, or a share from 0 to 1"
                )
            return float(found)

        return SHARES.measurement(share(comparison.base), share(comparison.tuned))


def _retained(m: Measurement) -> Measurement:
    base, tuned, reason = (
        m.details[key] for key in ("base_right", "tuned_right", "answers_unsupported")
    )
    return SHARES.unjudged(reason) if reason else SHARES.measurement(float(base), float(tuned))


def _matching(right: Callable[[str, str], bool], comparison: Comparison) -> Measurement:
    reference = comparison.probe.reference
    if reference is None:
        return SHARES.unjudged(NO_REFERENCE)
    sides = (comparison.base, comparison.tuned)
    return SHARES.measurement(*(float(right(reply.text, reference)) for reply in sides))


def _scored(comparisons: Sequence[Comparison], spec: str) -> list[Measurement]:
    scores = scores_of("score", comparisons, lambda c: [(c.base.text,), (c.tuned.text,)], spec)
    found = []
    for base, tuned in zip(scores[::2], scores[1::2], strict=True):
        if base.value is None or tuned.value is None:
            found.append(SHARES.unjudged(base.unsupported or tuned.unsupported or "no score"))
        else:
            found.append(SHARES.measurement(base.value, tuned.value))
    return found


def assert_accuracy(
    subject: Subject,
    *,
    correct: Correct | None = None,
    at_least: float | None = None,
    drop_at_most: float | None = None,
    gain_at_least: float | None = None,
) -> None:
    """The tuned model answers enough of the set right, not fewer than the base, or more.

    Args:
        subject: a set of comparisons.
        correct: when a reply is right. By default as in `assert_retention`: it contains the probe's
            `reference`, or the right option of a multiple choice is the likeliest. "contains",
            "regex" or "json" compare the reply's text with the reference in that way alone. A
            callable takes the reply's text and the probe, and returns True or False, or a share
            from 0 to 1. Other texts name a scorer of right replies, `python:module:object` or
            `hf:LOCATION#LABEL`.
        at_least: the smallest share (0 to 1) of right replies of the tuned model.
        drop_at_most: by how much that share may be below the base's, 0 to 1.
        gain_at_least: by how much it has to be above the base's, 0 to 1.

    Raises:
        AssertionError: a limit is broken or missing, there is no reference, or the set is too small
            to decide.
        ConfigError: a limit is not between 0 and 1, or the subject is a single comparison.
        ScorerError: `correct` cannot be used, or returned something else.
    """
    __tracebackhide__ = True
    limits = {"at_least": at_least, "gain_at_least": gain_at_least, "drop_at_most": drop_at_most}
    check_within(limits, 0, 1)
    questions = []
    if at_least is not None:
        questions.append(SHARES.level(at_least))
    if drop_at_most is not None or (at_least is None and gain_at_least is None):
        questions.append(SHARES.drop(drop_at_most))
    if gain_at_least is not None:
        questions.append(SHARES.gain(gain_at_least))
    settle(set_of(subject, "assert_accuracy", "accuracy"), Accuracy(correct=correct), questions)


@overload
def accuracy(subject: Comparison, *, correct: Correct | None = None) -> Measurement: ...
@overload
def accuracy(
    subject: Iterable[Comparison], *, correct: Correct | None = None
) -> list[Measurement]: ...
def accuracy(
    subject: Subject, *, correct: Correct | None = None
) -> Measurement | list[Measurement]:
    """How right the tuned reply is, 0 to 1; `details` has the base's.

    `correct` is that of `assert_accuracy`.
    """
    return measured(Accuracy(correct=correct), subject)
