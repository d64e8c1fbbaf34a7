"""The assertion helpers and their number-returning twins.

A limit is given by the test; a helper that gets none fails and says how to give one. What a scorer
cannot judge fails as well: nothing that was not judged passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

from pytest_llmdiff.comparison import Comparison, Explanation, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.metrics import Metric
from pytest_llmdiff.metrics.degeneration import Degeneration
from pytest_llmdiff.metrics.divergence import Divergence
from pytest_llmdiff.metrics.drift import SemanticDrift
from pytest_llmdiff.metrics.toxicity import Toxicity, rise
from pytest_llmdiff.models import Model, ModelPair
from pytest_llmdiff.reports.failure import failure_text
from pytest_llmdiff.verdicts import Verdict, judge

STREAMED = 1024  # comparisons of an iterator that are in memory, and measured, together


def assert_semantic_drift(
    comparison: Comparison,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    scorer: object | None = None,
) -> None:
    """The replies' meaning moved by no more (and, where tuning must change it, no less) than given.

    Args:
        comparison: from the `comparison` fixture, `llm_pair.compare`, or made by hand.
        at_most: largest allowed cosine distance of the sentence embeddings, 0 to 2.
        at_least: smallest allowed one.
        scorer: another embedder than the run's, as in `--llmdiff-embedder` or an object.

    Raises:
        AssertionError: a limit is broken, none is given, or the embedder cannot judge the replies.
    """
    __tracebackhide__ = True
    m = semantic_drift(_single(comparison), scorer=scorer)
    _settle(comparison, judge(m, at_most=at_most, at_least=at_least))


def assert_divergence(comparison: Comparison, *, at_most: float | None = None) -> None:
    """KL(base‖tuned) on the base's reply is at most so many nats per token.

    Raises:
        AssertionError: the limit is broken, none is given, or the two cannot be compared.
    """
    __tracebackhide__ = True
    _settle(comparison, judge(divergence(_single(comparison)), at_most=at_most))


def assert_toxicity(
    comparison: Comparison,
    *,
    at_most: float | None = None,
    rise_at_most: float | None = None,
    scorer: object | None = None,
) -> None:
    """The tuned reply is at most so toxic (0 to 1), or at most so much more than the base's.

    Raises:
        AssertionError: a limit is broken, none is given, or the scorer cannot judge a reply.
    """
    __tracebackhide__ = True
    m = toxicity(_single(comparison), scorer=scorer)
    verdicts = [] if at_most is None and rise_at_most is not None else judge(m, at_most=at_most)
    if rise_at_most is not None:
        verdicts += judge(rise(m), at_most=rise_at_most)
    _settle(comparison, verdicts)


def assert_not_degenerate(comparison: Comparison) -> None:
    """The tuned reply is not empty, does not loop, stops where the base stops, and keeps the
    script.

    Raises:
        AssertionError: it does not; the message names each problem.
    """
    __tracebackhide__ = True
    m = not_degenerate(_single(comparison))
    _settle(comparison, judge(m, at_most=0, source="this helper's own"))


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
    _report(model.run, None, judge(m, at_most=0, source="this helper's own"))


def assert_adapter_effective(pair: ModelPair) -> None:
    """The adapter is bound to the base, finite, non-zero, and changes the predictions.

    For a tuned model that is no adapter, the change of the predictions is what is checked.

    Raises:
        AssertionError: it is not; the message names each problem.
    """
    __tracebackhide__ = True
    m = adapter_effective(pair)
    _report(pair.run, None, judge(m, at_most=0, source="this helper's own"))


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
    _report(pair.run, None, judge(m, at_most=0, source="this helper's own"))


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
    return _measure(SemanticDrift(scorer=scorer), subject)


@overload
def divergence(subject: Comparison) -> Measurement: ...
@overload
def divergence(subject: Iterable[Comparison]) -> list[Measurement]: ...
def divergence(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """KL(base‖tuned) in nats, mean over the tokens of the base's reply, teacher-forced."""
    return _measure(Divergence(), subject)


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
    return _measure(Toxicity(scorer=scorer), subject)


@overload
def not_degenerate(subject: Comparison) -> Measurement: ...
@overload
def not_degenerate(subject: Iterable[Comparison]) -> list[Measurement]: ...
def not_degenerate(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """Number of signs of degeneration in the tuned reply; `details["problems"]` names them."""
    return _measure(Degeneration(), subject)


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


def _measure(
    metric: Metric, subject: Comparison | Iterable[Comparison]
) -> Measurement | list[Measurement]:
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    if isinstance(subject, Sequence):
        return metric.measure(list(subject))
    rest, found = iter(subject), []
    while part := list(islice(rest, STREAMED)):
        found += metric.measure(part)
    return found


def _single(comparison: Comparison) -> Comparison:
    if not isinstance(comparison, Comparison):
        raise ConfigError(
            f"this helper takes one comparison, not {type(comparison).__name__}; "
            "call it for each of several"
        )
    return comparison


def _settle(comparison: Comparison, verdicts: Sequence[Verdict]) -> None:
    __tracebackhide__ = True
    _report(comparison.run, comparison, verdicts)


def _report(run: Any, comparison: Comparison | None, verdicts: Sequence[Verdict]) -> None:
    """Record the verdicts, passed or not, and raise where one did not pass."""
    __tracebackhide__ = True
    for verdict in verdicts:
        if run is not None:
            run.record(comparison, verdict)
    if all(verdict.passed for verdict in verdicts):
        return
    explanation = Explanation()
    if run is not None and comparison is not None:
        explanation = run.explain(comparison)
    elif run is not None:
        explanation = Explanation(rerun=run.rerun())
    raise AssertionError(failure_text(verdicts, comparison=comparison, explanation=explanation))
