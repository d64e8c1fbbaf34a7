"""The values that tests and reports see: replies, comparisons, scores, measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_llmdiff.data.probes import Probe

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.data.tokens import Passage

FinishReason = Literal["stop", "length"]
Side = Literal["base", "tuned"]
SIDES: tuple[Side, Side] = ("base", "tuned")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model said.

    `text` is without special tokens and without the `reasoning` of a thinking model. `token_ids`
    are all generated tokens, the stop token included where `finish_reason` is "stop".
    `prompt_tokens` is the length of the rendered prompt in tokens.
    """

    text: str
    reasoning: str | None = None
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Score:
    """One scorer's result for one input: a value (higher is worse) or why there is none."""

    value: float | None
    unsupported: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


InputsOf = Callable[["Comparison"], list[tuple[str, ...]]]
PassagesOf = Callable[["Comparison"], "list[Passage]"]


class Run(Protocol):
    """The run that a comparison of a fixture belongs to.

    A measure that needs more of its run declares a protocol of that in its own file.
    """

    @property
    def settings(self) -> Settings: ...

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        """Keep a verdict for the reports; `sample` has the members of a set."""

    def rerun(self) -> str:
        """The command that runs the current test again."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A reply of the tuned model that was reviewed and is wanted, and the measured values that
    were accepted with it, by the measure's name."""

    text: str
    finish_reason: FinishReason = "stop"
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One probe and both models' replies to it.

    One made by a fixture knows its `run`, so that helpers find scorers, store and report; one
    made by hand has none, and helpers then need `scorer=`. `margin` is by how much (nats) the
    first token that differs was likelier to the tuned model than the base's token there, where the
    engine tells; `near_tie` says that rounding may have decided a token. `accepted` is the reply
    that is expected of the tuned model in place of the base's, where one was accepted. `original`
    is the comparison of the prompt that this one's is a changed form of, where that is known.
    `sides` are the names of the two models: for parity the tuned model and the served one.
    """

    probe: Probe
    base: Reply
    tuned: Reply
    margin: float | None = None
    near_tie: bool = False
    accepted: Accepted | None = None
    original: Comparison | None = None
    sides: tuple[str, str] = ("base", "tuned")
    run: Run | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """What was asked and said: pytest shows the first and the last 120 characters above a
        failure, where the fields' own would be token ids."""
        first, second = self.sides
        replies = f"{first}={self.base.text!r}, {second}={self.tuned.text!r}"
        return f"Comparison({self.probe.prompt!r}, {replies})"

    @property
    def given(self) -> Passage | None:
        """The text that both models read, where they were not asked for a reply: the last message
        of its probe is the assistant's then."""
        *before, last = self.probe.messages
        if last["role"] != "assistant":
            return None
        from pytest_llmdiff.data.tokens import Passage

        return Passage(text=last["content"], after=tuple(before))


def against_accepted(comparison: Comparison) -> Comparison:
    """The comparison with the accepted reply, where there is one, in the base's place."""
    if comparison.accepted is None:
        return comparison
    accepted = comparison.accepted
    expected = Reply(text=accepted.text, finish_reason=accepted.finish_reason)
    return replace(comparison, base=expected)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured number; higher is always worse. `float()` gives the value.

    `limit` is what it was held against, if anything. Where the scorer cannot judge the input,
    `unsupported` says why, `value` is NaN, and `float()` raises; `least` is what the value is known
    not to be less than, if anything is known: it can break a limit, and keeps none.
    """

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    unsupported: str | None = None
    least: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __float__(self) -> float:
        if self.unsupported is not None:
            raise ValueError(f"{self.name} is unsupported here: {self.unsupported}")
        return self.value
