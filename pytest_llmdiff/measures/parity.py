"""Parity: does the served model answer as the tuned one, but for rounding?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.pair.first_differences import FirstDifference, about, asked
from pytest_llmdiff.engines.pair.first_differences import first_differences as found
from pytest_llmdiff.errors import CapabilityError, ConfigError
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.models import Given, Model, probes_of
from pytest_llmdiff.measures.raising import report
from pytest_llmdiff.measures.settle import OWN, Question, settle, settle_problems
from pytest_llmdiff.measures.wiring.findings import Findings, Problem, findings_measurement
from pytest_llmdiff.verdicts.verdict import judge
from pytest_llmdiff.verdicts.views import View

# Prompts on which the tuned model's reply must differ from the base's before a served reply that
# is the base's says anything.
TELLING = 3
AROUND = 3  # tokens shown before and behind the first one that differs

Ids = Sequence[int]


class ParityRun(Protocol):
    """A run whose base is the tuned model, and whose tuned model is the served one."""

    @property
    def rounding(self) -> float:
        """The difference of two logits (nats) that rounding alone makes, on the noisier side."""

    def first_differences(self, comparisons: Sequence[Comparison]) -> list[FirstDifference]:
        """Where the served replies leave the tuned model's."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Whether the served reply leaves the tuned model's for more than rounding: 1, else 0.

    `details`: `kind` is "same", "numeric" (the tuned model held both tokens for as good, up to the
    `tolerance` in nats), "end" (one reply ends where the other goes on) or "real"; `at` is the
    token, from 0, and `margin` by how much the tuned model preferred its own.
    """

    tolerance: float | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        run: Any = comparisons[0].run if comparisons else None
        if comparisons and not hasattr(run, "first_differences"):
            raise ConfigError("parity is of comparisons of llm_tuned and llm_served")
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = run.rounding if comparisons else 0.0
        return [
            _measurement(difference, tolerance) for difference in run.first_differences(comparisons)
        ]


def _measurement(difference: FirstDifference, tolerance: float) -> Measurement:
    kind, problems = "same", []
    if difference.at is not None:
        kind = "end" if difference.end else "real"
        if difference.margin <= tolerance:
            kind = "numeric"
        else:
            problems = [
                f'token {difference.at + 1} is "{difference.other}" where the tuned model says '
                f'"{difference.own}" and holds it for better by {difference.margin:.2g} nats; '
                f"rounding makes {tolerance:.2g}"
            ]
    return Measurement(
        name="parity",
        value=float(bool(problems)),
        unit="replies that differ",
        details={"kind": kind, "tolerance": tolerance, "problems": problems, **asdict(difference)},
    )


def kinds_note(measurements: Sequence[Measurement]) -> str:
    """How many replies are the same, in a line."""
    found = Counter(m.details["kind"] for m in measurements)
    parts = [
        f"{found[kind]} {said}"
        for kind, said in (
            ("numeric", "differ by rounding alone"),
            ("end", "end elsewhere"),
            ("real", "differ"),
        )
        if found[kind]
    ]
    return ", ".join(
        [f"{found['same']} of {len(measurements)} served replies are the same", *parts]
    )


# The rungs before the replies


def rendering_problem(
    rendered: Sequence[tuple[str, Ids, Ids]], text_of: Callable[[Ids], str]
) -> Problem | None:
    """Are the prompts the same tokens? (prompt, tuned ids, served ids) of each."""
    unlike = [(prompt, own, other) for prompt, own, other in rendered if list(own) != list(other)]
    if not unlike:
        return None
    prompt, own, other = unlike[0]
    pairs = zip(own, other, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(own), len(other)))
    shown = [text_of(ids[max(0, at - AROUND) : at + AROUND]) for ids in (own, other)]
    return Problem(
        cause=f"{len(unlike)} of {len(rendered)} prompts are rendered to other tokens, such as "
        f"{prompt!r}, from token {at + 1} of {len(own)} and {len(other)}: the tuned model is asked "
        f"{shown[0]!r}, the served one {shown[1]!r}",
        step="serve it with the chat template, BOS and system prompt that it was tuned with",
    )


def count_problem(counted: Sequence[tuple[str, int, int]]) -> Problem | None:
    """The same by counts alone, of servers that do not show the tokens: (prompt, own, other)."""
    unlike = [
        (prompt, own, other) for prompt, own, other in counted if own and other and own != other
    ]
    if not unlike:
        return None
    prompt, own, other = unlike[0]
    return Problem(
        cause=f"{len(unlike)} of {len(counted)} prompts have another number of tokens, such as "
        f"{prompt!r}: {own} for the tuned model, {other} by the server's count",
        step="the server's chat template, BOS or default system prompt is another: start it with "
        "the template of the tuned model (vLLM and llama.cpp: --chat-template FILE)",
    )


def adapter_problem(replies: Sequence[tuple[str, str, str]]) -> Problem | None:
    """Is it the base that is served? (base, tuned, served) of each prompt."""
    telling = [(base, served) for base, tuned, served in replies if base != tuned]
    if len(telling) < TELLING or any(base != served for base, served in telling):
        return None
    return Problem(
        cause=f"the served model answers as the base does, on all {len(telling)} prompts where the "
        "tuned model answers otherwise: the adapter is not applied",
        step="ask the server for the adapter by its name (vLLM: --lora-modules NAME=PATH), or "
        "merge it again",
    )


def end_problem(measurements: Sequence[Measurement]) -> Problem | None:
    """Do replies part where one of them ends?"""
    ends = [m for m in measurements if m.details["kind"] == "end"]
    real = [m for m in measurements if m.details["kind"] == "real"]
    if not ends or len(ends) <= len(real):
        return None
    first = ends[0].details
    return Problem(
        cause=f"{len(ends)} of {len(measurements)} replies part where one of them ends: the tuned "
        f"model says {first['own']!r}, the served one {first['other']!r}",
        step="compare the stop tokens (generation_config.json, the server's stop settings) and the "
        "length limits of both",
    )


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


def first_differences(
    generation: ReplyGenerator, comparisons: Sequence[Comparison]
) -> list[FirstDifference]:
    """Where the second reply of each comparison leaves the first, by one pass of the first model.

    Raises:
        CapabilityError: its engine has no logits.
    """
    told = [about(c) for c in comparisons]
    if not told:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        return [asdict(difference) for difference in found(engine, list(map(asked, todo)), device)]

    values = generation.memo.get_all("parting", "base", told, compute)
    return [FirstDifference(**value) for value in values]
