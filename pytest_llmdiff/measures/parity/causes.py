"""Why served replies differ from the tuned model's: template, adapter, or stop tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.engines import capability
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.generation.models import Model
from pytest_llmdiff.measures.wiring.findings import Problem

# At least this many tuned replies must differ from the base's before served replies that all equal
# the base's show that the adapter is not applied.
TELLING = 3
AROUND = 3  # tokens shown before and after the first one that differs

Ids = Sequence[int]


def problems_of(
    tuned: Model, served: Model, comparisons: list[Comparison], measured: list[Measurement]
) -> list[Problem]:
    """What explains the differing replies; earlier causes first, since they explain later ones."""
    found = [_rendering(served, comparisons)]
    if any(m.details["kind"] != "same" for m in measured):
        found += [_adapter(tuned, comparisons), end_problem(measured)]
    return [problem for problem in found if problem is not None]


def rendering_problem(
    rendered: Sequence[tuple[str, Ids, Ids]], text_of: Callable[[Ids], str]
) -> Problem | None:
    """Do the prompts render to the same tokens? (prompt, tuned ids, served ids) of each."""
    unlike = [(prompt, own, other) for prompt, own, other in rendered if list(own) != list(other)]
    if not unlike:
        return None
    prompt, own, other = unlike[0]
    at = common_length(own, other)
    shown = [text_of(ids[max(0, at - AROUND) : at + AROUND]) for ids in (own, other)]
    return Problem(
        cause=f"{len(unlike)} of {len(rendered)} prompts render to different tokens, such as "
        f"{prompt!r}, from token {at + 1} of {len(own)} and {len(other)}: the tuned model gets "
        f"{shown[0]!r}, the served one {shown[1]!r}",
        step="serve it with the chat template, BOS and system prompt that it was tuned with",
    )


def count_problem(counted: Sequence[tuple[str, int, int]]) -> Problem | None:
    """Do the prompts have the same number of tokens? (prompt, tuned count, served count) of each.

    For servers that do not show the tokens. A count of 0 is unknown.
    """
    unlike = [
        (prompt, own, other) for prompt, own, other in counted if own and other and own != other
    ]
    if not unlike:
        return None
    prompt, own, other = unlike[0]
    return Problem(
        cause=f"{len(unlike)} of {len(counted)} prompts have a different number of tokens, such as "
        f"{prompt!r}: {own} for the tuned model, {other} by the server's count",
        step="the server uses a different chat template, BOS or default system prompt: start it "
        "with the template of the tuned model (vLLM and llama.cpp: --chat-template FILE)",
    )


def adapter_problem(replies: Sequence[tuple[str, str, str]]) -> Problem | None:
    """Is the base served in place of the tuned model? (base, tuned, served) of each prompt."""
    telling = [(base, served) for base, tuned, served in replies if base != tuned]
    if len(telling) < TELLING or any(base != served for base, served in telling):
        return None
    return Problem(
        cause=f"the served model replies as the base does, on all {len(telling)} prompts where the "
        "tuned model's reply differs: the adapter is not applied",
        step="ask the server for the adapter by its name (vLLM: --lora-modules NAME=PATH), or "
        "merge it again",
    )


def end_problem(measurements: Sequence[Measurement]) -> Problem | None:
    """Do most replies that differ do so where one of them ends?"""
    ends = [m for m in measurements if m.details["kind"] == "end"]
    real = [m for m in measurements if m.details["kind"] == "real"]
    if not ends or len(ends) <= len(real):
        return None
    first = ends[0].details
    return Problem(
        cause=f"{len(ends)} of {len(measurements)} replies differ where one of them ends: the "
        f"tuned model says {first['own']!r}, the served one {first['other']!r}",
        step="compare the stop tokens (generation_config.json, the server's stop settings) and the "
        "length limits of both",
    )


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
    tokenizer = capability(ours, "tokenizer")
    return rendering_problem(rendered, repr if tokenizer is None else tokenizer.decode)


def _adapter(tuned: Model, comparisons: list[Comparison]) -> Problem | None:
    base = tuned.run.comparer.reply("base", [comparison.probe for comparison in comparisons])
    texts = ((b.text, c.base.text, c.tuned.text) for b, c in zip(base, comparisons, strict=True))
    return adapter_problem(list(texts))
