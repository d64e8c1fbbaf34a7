"""The values that tests and reports see: replies, comparisons, scores and measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_llmdiff.data.notebook import Displayed
from pytest_llmdiff.data.probes import Probe, briefly
from pytest_llmdiff.data.tools.calls import ToolCall

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.data.tokens import Passage

FinishReason = Literal["stop", "length"]
Side = Literal["base", "tuned"]
SIDES: tuple[Side, Side] = ("base", "tuned")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model said in answer to one prompt.

    `text` has neither special tokens nor the `reasoning` of a reasoning model. `token_ids` has all
    generated tokens, including the stop token if `finish_reason` is "stop"; it is empty if the
    engine does not report tokens. `finish_reason` is "length" if the reply was cut at
    `max_new_tokens`. `prompt_tokens` is the length of the rendered prompt in tokens, 0 if unknown.
    `tool_calls` are the calls of tools in it, if the prompt offers any: as the server returns them,
    or as they are read from its text.
    """

    text: str
    reasoning: str | None = None
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()

    def __repr__(self) -> str:
        return f"Reply({briefly(self.text)})"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A scorer's result for one input: a `value` (higher is worse), or why it is `unsupported`."""

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
    """A tuned reply that a reviewer accepted, with the measured values that were accepted along
    with it, by the name of the measure."""

    text: str
    finish_reason: FinishReason = "stop"
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison(Displayed):
    """One probe and both models' replies to it.

    A comparison from a fixture knows its `run`, through which helpers find scorers, store and
    report. One made by hand has no run, so that helpers need `scorer=`.

    `margin` is by how much (difference of logits, nats) the tuned model preferred its first
    differing token to the base's token there, if the engine reports it. `near_tie` says that
    rounding may have decided a token. `accepted` is the accepted tuned reply, which is then
    expected in place of the base reply. `original` is the comparison of the original prompt, if
    this prompt is a changed form of it. `sides` names the two models; for parity they are the tuned
    and the served one.
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
        """The beginnings and ends of the prompt and the replies, as pytest shows a value beside a
        failed assertion."""
        first, second = self.sides
        prompt, base, tuned = map(briefly, (self.probe.prompt, self.base.text, self.tuned.text))
        return f"Comparison({prompt}, {first}={base}, {second}={tuned})"

    @property
    def given(self) -> Passage | None:
        """The text that both models read, if they were not asked for a reply.

        The last message of such a probe is the assistant's.
        """
        *before, last = self.probe.messages
        if last["role"] != "assistant":
            return None
        from pytest_llmdiff.data.tokens import Passage

        return Passage(text=last["content"], after=tuple(before))


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """A probe of a set that a model cannot answer, and the `reason`."""

    probe: Probe
    reason: str
    run: Run | None = field(default=None, compare=False, repr=False)


def against_accepted(comparison: Comparison) -> Comparison:
    """The comparison, with the accepted reply (if any) in place of the base's."""
    if comparison.accepted is None:
        return comparison
    accepted = comparison.accepted
    expected = Reply(text=accepted.text, finish_reason=accepted.finish_reason)
    return replace(comparison, base=expected)


@dataclass(frozen=True, kw_only=True)
class Measurement(Displayed):
    """One measured number with its `unit`; higher is always worse. `float()` returns the value.

    `limit` is the limit that the value was compared with, if any. If the input cannot be judged,
    `unsupported` says why, `value` is NaN, and `float()` raises ValueError; `least` is then a known
    lower bound of the value, if any, which can exceed a limit but never pass one. `details` has
    what the measure's page describes.
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

    def __repr__(self) -> str:
        limit = "" if self.limit is None else f", limit={self.limit!r}"
        why = "" if self.unsupported is None else f", unsupported={briefly(self.unsupported)}"
        return f"Measurement({briefly(self.name)}, {self.value!r}{limit}{why})"
