"""Retention: what the base knows and the tuned model has lost, as answers and as likelihoods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.answers import contains, letter_of, options_of
from pytest_llmdiff.data.tokens import Likelihood, Passage
from pytest_llmdiff.measures.inputs import Likelihoods, likelihoods_of
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

NO_REFERENCE = (
    "the probe has no reference answer: give one with reference= of the marker, or in the column "
    "reference of a probe file"
)
NO_ANSWER = "a text that the models only read has no answer to lose; give drop_at_most="


@dataclass(frozen=True, kw_only=True)
class Retention:
    """By how much the log-probability of the reference answer dropped: base minus tuned, in nats
    per token.

    For a multiple choice it is the log-probability of the right option among all options (nats);
    for a text that the models only read, that of the text (nats per token). `details` has both
    sides' values, and whether each side's answer is right (`base_right`, `tuned_right`;
    `answers_unsupported` says why that is unknown). Without `likelihoods`, they are computed only
    where the answers need them: for multiple choices and texts that were read.
    """

    reads: ClassVar[bool] = True
    likelihoods: bool = True

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        likelihoods = likelihoods_of(comparisons, self._passages)
        return [_measurement(c, own) for c, own in zip(comparisons, likelihoods, strict=True)]

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
    """1 if the base's answer is right and the tuned model's is wrong, else 0."""
    return _moved(measurement, "answer lost", ("base", "tuned"))


def gained(measurement: Measurement) -> Measurement:
    """1 if the tuned model's answer is right and the base's is wrong, else 0."""
    return _moved(measurement, "answer gained", ("tuned", "base"))


def known(measurement: Measurement) -> Measurement:
    """1 if the base's answer is right, so that it can be lost; else 0."""
    reason = measurement.details["answers_unsupported"]
    return Measurement(
        name="answer known",
        value=math.nan if reason else float(measurement.details["base_right"]),
        unit="answer",
        unsupported=reason,
    )


def _moved(measurement: Measurement, name: str, sides: tuple[str, str]) -> Measurement:
    """1 if the first side's answer is right and the second's is wrong, else 0."""
    details, reason = measurement.details, measurement.details["answers_unsupported"]
    first, second = (details[f"{side}_right"] for side in sides)
    return Measurement(
        name=name,
        value=math.nan if reason else float(first and not second),
        unit="answer",
        unsupported=reason,
        details={key: details[key] for key in ("base_right", "tuned_right")},
    )


def _measurement(comparison: Comparison, likelihoods: Likelihoods) -> Measurement:
    right, unknown = _right(comparison, likelihoods)
    values, reason = _values(comparison, likelihoods)
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


def _right(
    comparison: Comparison, likelihoods: Likelihoods
) -> tuple[tuple[bool, bool] | None, str | None]:
    """Whether each side's answer is the reference, or why that is unknown."""
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
    if likelihoods.unsupported is not None:
        return None, likelihoods.unsupported
    return (_best(likelihoods.base) == place, _best(likelihoods.tuned) == place), None


def _values(
    comparison: Comparison, likelihoods: Likelihoods
) -> tuple[tuple[float, float] | None, str | None]:
    """Both sides' log-probability of the right answer or text, or why there is none."""
    if comparison.given is None and comparison.probe.reference is None:
        return None, NO_REFERENCE
    if not likelihoods.base:
        return None, likelihoods.unsupported or "no likelihood was computed"
    place = _place(comparison)
    if place is None:
        return (likelihoods.base[0].mean, likelihoods.tuned[0].mean), None
    return (_share(likelihoods.base, place), _share(likelihoods.tuned, place)), None


def _place(comparison: Comparison) -> int | None:
    """The index of the right option of a multiple choice; None if the probe is not one."""
    probe = comparison.probe
    if probe.reference is None or comparison.given is not None:
        return None
    options = list(options_of(probe.prompt, probe.reference))
    return options.index(letter_of(probe.reference)) if options else None


def _best(options: Sequence[Likelihood]) -> int | None:
    """The index of the likeliest option; None if a likelihood is not finite (a broken model)."""
    means = [option.mean for option in options]
    return means.index(max(means)) if all(map(math.isfinite, means)) else None


def _share(options: Sequence[Likelihood], place: int) -> float:
    """The log-probability (nats) of one option, given that one of the options is the answer."""
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
    """The tuned model still knows what the base knows.

    Args:
        subject: a comparison or a set: of probes with a `reference`, or of texts that both models
            read (`llm_pair.read`).
        lost_at_most: for a set, the largest share (0 to 1) of the base's right answers that the
            tuned model gets wrong; for a comparison, 0 allows no loss.
        drop_at_most: the largest drop, from base to tuned, of the log-probability of the reference
            or of the text read, in nats per token; for a multiple choice, of the right option among
            the options, in nats. For a set, the largest mean drop.

    Raises:
        AssertionError: a limit is exceeded or missing, there is no reference, the engine has no
            likelihoods, or the set is too small to decide.
    """
    __tracebackhide__ = True
    questions = []
    if lost_at_most is not None or drop_at_most is None:
        questions.append(lost_question(at_most=lost_at_most))
    if drop_at_most is not None:
        questions.append(Question(view=DROP, at_most=drop_at_most))
    settle(subject, Retention(likelihoods=drop_at_most is not None), questions)


def lost_question(*, at_most: float | None) -> Question:
    """The share of answers lost, among those that the base gets right."""
    return Question(view=LOST, at_most=at_most, opposite=GAINED, among=KNOWN)


@overload
def retention(subject: Comparison) -> Measurement: ...
@overload
def retention(subject: Iterable[Comparison]) -> list[Measurement]: ...
def retention(subject: Subject) -> Measurement | list[Measurement]:
    """The drop of the reference's log-probability from base to tuned, in nats per token.

    `details` has both sides' values, and whether each side's answer is right.
    """
    return measured(Retention(), subject)
