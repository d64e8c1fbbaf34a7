"""Parity: the tuned model answers the same where it is served, but for rounding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.engines import capability
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.judgement import OWN, Question, report, settle, settle_problems
from pytest_llmdiff.metrics.findings import Findings, Problem, findings_measurement
from pytest_llmdiff.metrics.parity import (
    Parity,
    adapter_problem,
    count_problem,
    end_problem,
    kinds_note,
    rendering_problem,
)
from pytest_llmdiff.models import Given, Model, probes_of
from pytest_llmdiff.verdicts import judge
from pytest_llmdiff.views import View

DIFFERENT = View(support=(0.0, 1.0))


def assert_parity(
    llm_tuned: Model,
    llm_served: Model,
    prompts: Iterable[Given],
    *,
    at_most: float | None = None,
    tolerance: float | None = None,
) -> None:
    """The served model answers as the tuned one does, but for rounding.

    What is looked at first is what explains the rest: whether the prompts are the same tokens,
    whether the adapter is applied, whether replies end alike. Only then the replies count.

    Args:
        llm_tuned: the tuned model, by an engine that has logits.
        llm_served: the same as it is served.
        prompts: texts, chat messages or probes that both are asked.
        at_most: largest allowed share of replies that leave the tuned model's for more than
            rounding; without it there may be none among those of the prompts.
        tolerance: difference of two logits, in nats, up to which they count as equal. Without it,
            the noise of rounding that was measured for the models of this run.

    Raises:
        AssertionError: it does not, or the set is too small to bound the share.
        CapabilityError: the tuned model's engine has no logits.
    """
    __tracebackhide__ = True
    question = None if at_most is None else Question(view=DIFFERENT, at_most=at_most, over=0)
    hold_parity(llm_tuned, llm_served, prompts, Parity(tolerance=tolerance), question)


def hold_parity(
    tuned: Model,
    served: Model,
    prompts: Iterable[Given],
    metric: Parity,
    question: Question | None,
) -> None:
    """Hold the replies against a limit, or without a question allow no difference at all."""
    __tracebackhide__ = True
    comparisons = compared(tuned, served, prompts)
    measured = metric.measure(comparisons)
    found = Findings(
        problems=tuple(problems_of(tuned, served, comparisons, measured)),
        notes=(kinds_note(measured),),
    )
    report(served.run, None, judge(findings_measurement("serving", found), at_most=0, source=OWN))
    if question is None:
        settle_problems(comparisons, metric)
    else:
        settle(comparisons, metric, [question])


def parity(
    llm_tuned: Model,
    llm_served: Model,
    prompts: Iterable[Given],
    *,
    tolerance: float | None = None,
) -> list[Measurement]:
    """1 for each prompt to which the served model's reply leaves the tuned one's for more than
    rounding, else 0; `details` has the token, the margin in nats and the kind."""
    return Parity(tolerance=tolerance).measure(compared(llm_tuned, llm_served, prompts))


def compared(tuned: Model, served: Model, prompts: Iterable[Given]) -> list[Comparison]:
    """The replies of both, the tuned model's as `base`.

    Raises:
        ConfigError: the models are not llm_tuned and llm_served, or there is no prompt.
    """
    run: Any = getattr(served, "run", None)
    names = [getattr(model, "name", None) for model in (tuned, served)]
    if names != ["llm_tuned", "llm_served"]:
        raise ConfigError("parity takes the fixtures llm_tuned and llm_served")
    comparisons: list[Comparison] = run.compare(probes_of(prompts))
    if not comparisons:
        raise ConfigError("parity: there is no prompt to compare the replies to")
    return comparisons


def problems_of(
    tuned: Model, served: Model, comparisons: list[Comparison], measured: list[Measurement]
) -> list[Problem]:
    """What explains that replies differ, the first rung first."""
    found = [_rendering(served, comparisons)]
    if any(m.details["kind"] != "same" for m in measured):
        found += [_adapter(tuned, comparisons), end_problem(measured)]
    return [problem for problem in found if problem is not None]


def _rendering(served: Model, comparisons: list[Comparison]) -> Problem | None:
    ours, theirs = (served.run.generation.pair.side(side) for side in ("base", "tuned"))
    try:
        rendered = [
            (c.probe.prompt, ours.render(c.probe.messages), theirs.render(c.probe.messages))
            for c in comparisons
        ]
    except CapabilityError:
        counts = [
            (c.probe.prompt, c.base.prompt_tokens, c.tuned.prompt_tokens) for c in comparisons
        ]
        return count_problem(counts)
    decode = capability(ours, "tokenizer")
    return rendering_problem(rendered, repr if decode is None else decode.decode)


def _adapter(tuned: Model, comparisons: list[Comparison]) -> Problem | None:
    base = tuned.run.reply("base", [comparison.probe for comparison in comparisons])
    texts = ((b.text, c.base.text, c.tuned.text) for b, c in zip(base, comparisons, strict=True))
    return adapter_problem(list(texts))
