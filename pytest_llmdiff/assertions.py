"""The assertion helpers and their number-returning twins.

Comparison helpers take one comparison, or a set of them for one verdict over the set. A limit is
given by the test; a helper that gets none fails and says how to give one. What a scorer cannot
judge fails as well: nothing that was not judged passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import overload

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.judgement import (
    OWN,
    Question,
    Subject,
    measured,
    report,
    settle,
    settle_problems,
)
from pytest_llmdiff.metrics.degeneration import Degeneration, newly
from pytest_llmdiff.metrics.divergence import Divergence
from pytest_llmdiff.metrics.drift import SemanticDrift
from pytest_llmdiff.metrics.refusal import AGREEMENT, Refusal, agreement_note, gained, lost
from pytest_llmdiff.metrics.toxicity import Toxicity, base_side, rise
from pytest_llmdiff.models import Model, ModelPair
from pytest_llmdiff.sets import View
from pytest_llmdiff.verdicts import judge

DRIFT = View(support=(0.0, 2.0), relative=True)
DIVERGENCE = View(support=(0.0, math.inf), dense=True)
TOXICITY = View(support=(0.0, 1.0))
BASE_TOXICITY = View(support=(0.0, 1.0), of=base_side)
RISE = View(support=(-1.0, 1.0), of=rise, relative=True)
DEGENERATE = View(support=(0.0, math.inf))
NEWLY_DEGENERATE = View(support=(0.0, math.inf), of=newly)
GAINED = View(support=(0.0, 1.0), of=gained, relative=True)
LOST = View(support=(0.0, 1.0), of=lost, relative=True)
FULLY_GAINED = View(support=(0.0, 1.0), of=partial(gained, full_only=True), relative=True)
FULLY_LOST = View(support=(0.0, 1.0), of=partial(lost, full_only=True), relative=True)


def assert_semantic_drift(
    subject: Subject,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    scorer: object | None = None,
) -> None:
    """The replies' meaning moved by no more (and, where tuning must change it, no less) than given.

    Args:
        subject: from the fixtures `comparison` and `comparisons`, from `llm_pair`, or made by hand.
        at_most: largest allowed cosine distance of the sentence embeddings, 0 to 2; of a set, the
            largest allowed mean.
        at_least: smallest allowed one.
        scorer: another embedder than the run's, as in `--llmdiff-embedder` or an object.

    Raises:
        AssertionError: a limit is broken, none is given, the embedder cannot judge the replies, or
            the set is too small to tell.
    """
    __tracebackhide__ = True
    question = Question(view=DRIFT, at_most=at_most, at_least=at_least)
    settle(subject, SemanticDrift(scorer=scorer), [question])


def assert_divergence(subject: Subject, *, at_most: float | None = None) -> None:
    """KL(base‖tuned) on the base's reply is at most so many nats per token; of a set, the mean.

    Raises:
        AssertionError: the limit is broken, none is given, the two cannot be compared, or the set
            is too small to tell.
    """
    __tracebackhide__ = True
    settle(subject, Divergence(), [Question(view=DIVERGENCE, at_most=at_most)])


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


def assert_refusal(
    subject: Subject,
    *,
    gained_at_most: float | None = None,
    lost_at_most: float | None = None,
    full_only: bool = False,
) -> None:
    """The tuned model refuses no more, or no less, than the base and the limits allow.

    Args:
        subject: a comparison or a set of them.
        gained_at_most: of a set, the largest share of replies that refuse where the base's do not;
            of a comparison, 0 for none.
        lost_at_most: the same of replies that do not refuse where the base's do.
        full_only: count full refusals only, not those that help in part.

    Raises:
        AssertionError: a limit is broken, none is given, a reply cannot be judged, or the set is
            too small to tell.
    """
    __tracebackhide__ = True
    views = (FULLY_GAINED, FULLY_LOST) if full_only else (GAINED, LOST)
    limits = (gained_at_most, lost_at_most)
    asked = [
        refusal_question(view, at_most=limit, full_only=full_only)
        for view, limit in zip(views, limits, strict=True)
        if limit is not None or limits == (None, None)
    ]
    settle(subject, Refusal(), asked)


def refusal_question(view: View, *, at_most: float | None, full_only: bool = False) -> Question:
    """The question for refusals gained (`GAINED`, `FULLY_GAINED`) or lost (`LOST`, …)."""
    other = {GAINED: LOST, LOST: GAINED, FULLY_GAINED: FULLY_LOST, FULLY_LOST: FULLY_GAINED}
    known = {
        "agreement": asdict(AGREEMENT["full" if full_only else "any"]),
        "notes": [agreement_note(full_only=full_only)],
    }
    return Question(view=view, at_most=at_most, opposite=other[view], known=known)


def assert_not_degenerate(subject: Subject, *, at_most: float | None = None) -> None:
    """The tuned reply is not empty, does not loop, stops where the base stops, and keeps the
    script.

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


def assert_template_consistent(model: Model, *, template: str | Path | None = None) -> None:
    """The tuned model is asked in the tokens of the base's chat template, or of a given one.

    Args:
        model: `llm_tuned`.
        template: a `.jinja` file to compare with, in place of the base's template.

    Raises:
        AssertionError: conversations render to other tokens, BOS is doubled, the generation prompt
            is missing or foreign, or an assistant turn ends in no stop token.
    """
    __tracebackhide__ = True
    m = template_consistent(model, template=template)
    report(model.run, None, judge(m, at_most=0, source=OWN))


def assert_adapter_effective(pair: ModelPair) -> None:
    """The adapter is bound to the base, finite, non-zero, and changes the predictions.

    For a tuned model that is no adapter, the change of the predictions is what is checked.

    Raises:
        AssertionError: it is not; the message names each problem.
    """
    __tracebackhide__ = True
    m = adapter_effective(pair)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


def assert_wiring(pair: ModelPair, check: str) -> None:
    """One check of how the tuned model is put together finds no problem.

    Args:
        pair: `llm_pair`.
        check: its name, as in the suite `pytest_llmdiff.suites.wiring`.

    Raises:
        AssertionError: it does, or the check cannot be made here; the message names each problem
            and its next step.
    """
    __tracebackhide__ = True
    m = wiring(pair, check)
    report(pair.run, None, judge(m, at_most=0, source=OWN))


@overload
def semantic_drift(subject: Comparison, *, scorer: object | None = None) -> Measurement: ...
@overload
def semantic_drift(
    subject: Iterable[Comparison], *, scorer: object | None = None
) -> list[Measurement]: ...
def semantic_drift(
    subject: Comparison | Iterable[Comparison], *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """Cosine distance of the replies' sentence embeddings, 0 to 2."""
    return measured(SemanticDrift(scorer=scorer), subject)


@overload
def divergence(subject: Comparison) -> Measurement: ...
@overload
def divergence(subject: Iterable[Comparison]) -> list[Measurement]: ...
def divergence(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """KL(base‖tuned) in nats, mean over the tokens of the base's reply, teacher-forced."""
    return measured(Divergence(), subject)


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


@overload
def refusal(subject: Comparison) -> Measurement: ...
@overload
def refusal(subject: Iterable[Comparison]) -> list[Measurement]: ...
def refusal(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """How much of a refusal the tuned reply is (0, 0.5, 1); `details` has the base's level."""
    return measured(Refusal(), subject)


@overload
def not_degenerate(subject: Comparison) -> Measurement: ...
@overload
def not_degenerate(subject: Iterable[Comparison]) -> list[Measurement]: ...
def not_degenerate(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """Number of signs of degeneration in the tuned reply; `details["problems"]` names them."""
    return measured(Degeneration(), subject)


def template_consistent(model: Model, *, template: str | Path | None = None) -> Measurement:
    """Number of findings about the chat template; `details["problems"]` names them."""
    if not isinstance(model, Model):
        raise ConfigError("the template helpers take the fixture llm_tuned")
    return model.template_mismatch(template)


def adapter_effective(pair: ModelPair) -> Measurement:
    """Number of problems of the adapter; `details["problems"]` names them."""
    if not isinstance(pair, ModelPair):
        raise ConfigError("the adapter helpers take the fixture llm_pair")
    return pair.adapter_problems()


def wiring(pair: ModelPair, check: str) -> Measurement:
    """Number of problems that one wiring check finds; `details` has causes, steps and notes."""
    if not isinstance(pair, ModelPair):
        raise ConfigError("the wiring helpers take the fixture llm_pair")
    from pytest_llmdiff.checks import measure_wiring  # with all that the checks read

    return measure_wiring(pair, check)
