"""Parity: does the same model answer the same in another engine or form, but for rounding?

From the first rung to the last: what is asked (prompt tokens), who answers (the adapter), how a
reply ends (stop tokens, sampling), and then the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.metrics.findings import Problem

if TYPE_CHECKING:
    from pytest_llmdiff.engines.partings import Parting

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

    def partings(self, comparisons: Sequence[Comparison]) -> list[Parting]:
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
        if comparisons and not hasattr(run, "partings"):
            raise ConfigError("parity is of comparisons of llm_tuned and llm_served")
        tolerance = self.tolerance
        if tolerance is None:
            tolerance = run.rounding if comparisons else 0.0
        return [_measurement(parting, tolerance) for parting in run.partings(comparisons)]


def _measurement(parting: Parting, tolerance: float) -> Measurement:
    kind, problems = "same", []
    if parting.at is not None:
        kind = "end" if parting.end else "real"
        if parting.margin <= tolerance:
            kind = "numeric"
        else:
            problems = [
                f'token {parting.at + 1} is "{parting.other}" where the tuned model says '
                f'"{parting.own}" and holds it for better by {parting.margin:.2g} nats; rounding '
                f"makes {tolerance:.2g}"
            ]
    return Measurement(
        name="parity",
        value=float(bool(problems)),
        unit="replies that differ",
        details={"kind": kind, "tolerance": tolerance, "problems": problems, **asdict(parting)},
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
