"""Retention: answers and likelihoods that the base has and the tuned model lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.answers import contains, letter_of, options_of
from pytest_llmdiff.data.tokens import Likelihood, Passage
from pytest_llmdiff.measures.inputs import Told, likelihoods_of
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

NO_REFERENCE = (
    "the probe has no reference answer: give one with reference= of the marker, or in the column "
    "reference of a probe file"
)
NO_ANSWER = "a text that was read and not asked has no answer to lose; give drop_at_most="


@dataclass(frozen=True, kw_only=True)
class Retention:
    """By how much less likely the reference became, base minus tuned: nats per token.

    Of a multiple choice it is the log-probability of the right option among the options (nats);
    of a given text that of the text. `details` has both sides' values and whether each gives the
    right answer (`base_right`, `tuned_right`; `answers_unsupported` says why that is not known).
    Without `likelihoods` none are asked for where the replies tell the answer.
    """

    reads: ClassVar[bool] = True
    likelihoods: bool = True

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        told = likelihoods_of(comparisons, self._passages)
        return [_measurement(c, found) for c, found in zip(comparisons, told, strict=True)]

    def _passages(self, comparison: Comparison) -> list[Passage]:
        probe = comparison.probe
        if comparison.given is not None:
            return [comparison.given]
        options = options_of(probe.prompt, probe.reference or "")
        if options:
            return [Passage(text=text, after=probe.messages) for text in options.values()]
        if probe.reference is None or not self.likelihoods:
            return []
        return [Passage(text=probe.reference, after=probe.messages)]


def lost(measurement: Measurement) -> Measurement:
    """1 where the base's answer is right and the tuned model's is not, else 0."""
    return _moved(measurement, "answer lost", ("base", "tuned"))


def gained(measurement: Measurement) -> Measurement:
    """1 where the tuned model's answer is right and the base's is not, else 0."""
    return _moved(measurement, "answer gained", ("tuned", "base"))


def known(measurement: Measurement) -> Measurement:
    """1 where the base's answer is right, else 0: what there is to lose."""
    reason = measurement.details["answers_unsupported"]
    return Measurement(
        name="answer known",
        value=math.nan if reason else float(measurement.details["base_right"]),
        unit="answer",
        unsupported=reason,
    )


def _moved(measurement: Measurement, name: str, sides: tuple[str, str]) -> Measurement:
    """1 where the first side's answer is right and the second's is not."""
    details, reason = measurement.details, measurement.details["answers_unsupported"]
    first, second = (details[f"{side}_right"] for side in sides)
    return Measurement(
        name=name,
        value=math.nan if reason else float(first and not second),
        unit="answer",
        unsupported=reason,
        details={key: details[key] for key in ("base_right", "tuned_right")},
    )


def _measurement(comparison: Comparison, told: Told) -> Measurement:
    right, unknown = _right(comparison, told)
    values, reason = _values(comparison, told)
    base, tuned = values or (math.nan, math.nan)
    subject = "reference" if comparison.given is None else "text"
    details: dict[str, Any] = {
        "base_right": right and right[0],
        "tuned_right": right and right[1],
        "answers_unsupported": unknown,
        "base": values and base,
        "tuned": values and tuned,
    }
    return Measurement(
        name=f"{subject} likelihood drop",
        value=base - tuned,
        unit="nats per token",
        unsupported=reason,
        details=details,
    )


def _right(comparison: Comparison, told: Told) -> tuple[tuple[bool, bool] | None, str | None]:
    """Whether each side's answer is the reference, or why that is not known."""
    probe = comparison.probe
    if comparison.given is not None:
        return None, NO_ANSWER
    if probe.reference is None:
        return None, NO_REFERENCE
    place = _place(comparison)
    if place is None:
        base, tuned = (
            contains(r.text, probe.reference) for r in (comparison.base, comparison.tuned)
        )
        return (base, tuned), None
    if told.unsupported is not None:
        return None, told.unsupported
    return (_best(told.base) == place, _best(told.tuned) == place), None


def _values(comparison: Comparison, told: Told) -> tuple[tuple[float, float] | None, str | None]:
    """The log-probabilities of the right answer or text, or why there are none."""
    if comparison.given is None and comparison.probe.reference is None:
        return None, NO_REFERENCE
    if not told.base:
        return None, told.unsupported or "no likelihood was asked for"
    place = _place(comparison)
    if place is None:
        return (told.base[0].mean, told.tuned[0].mean), None
    return (_share(told.base, place), _share(told.tuned, place)), None


def _place(comparison: Comparison) -> int | None:
    """Which of the options of a multiple choice is right; None where the probe is no such."""
    probe = comparison.probe
    if probe.reference is None or comparison.given is not None:
        return None
    options = list(options_of(probe.prompt, probe.reference))
    return options.index(letter_of(probe.reference)) if options else None


def _best(options: Sequence[Likelihood]) -> int | None:
    """The likeliest option; None where a likelihood is no number, as of a broken model."""
    means = [option.mean for option in options]
    return means.index(max(means)) if all(map(math.isfinite, means)) else None


def _share(options: Sequence[Likelihood], place: int) -> float:
    """The log-probability of one option where one of them is said."""
    most = max(option.mean for option in options)
    total = math.fsum(math.exp(option.mean - most) for option in options)
    return options[place].mean - most - math.log(total)


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
