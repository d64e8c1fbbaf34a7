"""Engines answer requests. `Engine` is the extension point; `python:module:object` names one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.requests import Request

if TYPE_CHECKING:
    import torch

    from pytest_llmdiff.data.tokens import TokenDivergences
    from pytest_llmdiff.engines.attention import LayerAttention


@dataclass(frozen=True, kw_only=True)
class Generated:
    """The outcome of one request: a reply with the rendered prompt it answers, or an error.

    `error` is for what lies in the prompt itself (too long, refused by the template): it fails
    that probe alone and is remembered like a reply. Of a reply that was decoded along the other
    side's: `ties` tokens of that one stood although another was likelier within the noise of
    rounding, and `margin` (nats) is by how much the first token that differs was likelier;
    `near_tie` says that noise may have decided.
    """

    reply: Reply | None = None
    prompt_ids: tuple[int, ...] = ()
    error: str | None = None
    ties: int = 0
    margin: float | None = None
    near_tie: bool = False


@runtime_checkable
class Engine(Protocol):
    """Anything that answers requests.

    Optional capabilities are asked for by name: `token_logits`, `token_logprobs`, `likely_tokens`,
    `divergence`, `token_view`, `logprobs`, `attentions`, `attention`, `differentiable`,
    `reply_gradients`, `carried`, `adapter_health`, `parameter_bytes`.
    """

    def fingerprint(self) -> str:
        """Content hash of all that a reply depends on besides the request. Cheap: no weights."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        """Outcomes with their index into `requests`, in any order, as they come."""

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Prompt token ids, generation prompt included. Needs no weights."""

    def close(self) -> None:
        """Free the memory; a later call loads again."""


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """A given reply after a given prompt, as token ids, to be run through a model."""

    prompt_ids: tuple[int, ...]
    reply_ids: tuple[int, ...]


class TokenLogits(Protocol):
    """Capability `token_logits`: what a model would have said at each token of given replies."""

    def token_logits(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and logits `[len(reply_ids), vocabulary]`, at most about `rows` rows at a time."""


class TokenLogprobs(Protocol):
    """Capability `token_logprobs`: likelihoods of given replies, where they are to be had for less
    than the logits."""

    def token_logprobs(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, list[float]]]:
        """Index and log-probabilities (nats) of the reply's tokens, about `rows` tokens at once."""


class LikelyTokens(Protocol):
    """Capability `likely_tokens`: the likeliest tokens at each token of given replies, of engines
    that have no logits to give, or only at a price."""

    def likely_tokens(
        self, items: Sequence[Continuation]
    ) -> Iterator[tuple[int, Sequence[Mapping[int, float]]]]:
        """Index and, for each token of the reply, log-probabilities (nats) by token id: those of
        the token itself and of some of the likeliest, the likeliest among them."""


class Attentions(Protocol):
    """Capability `attentions`: where a model looks while it reads given replies."""

    def attentions(
        self, item: Continuation, layers: range, *, again: bool = False
    ) -> list[LayerAttention]:
        """Attention of those layers at the tokens of the reply, in their order; with `again` by a
        pass of another shape, which differs by rounding only.

        Raises:
            CapabilityError: the architecture does not tell.
        """

    def attention_size(self) -> tuple[int, int]:
        """How many layers there are, and heads in each."""


class RecordedDivergence(Protocol):
    """Capability `divergence`: an engine that knows the statistics without any weights."""

    def divergence(self, request: Request, base: Reply) -> TokenDivergences:
        """Statistics of the pair on the base's reply; raises ModelError where it knows none."""


def capability(engine: Engine, name: str) -> Any:
    """The engine's method of that name, or None."""
    return getattr(engine, name, None)


def lacks_logits(engine: Engine) -> str:
    """What is to be said of an engine that cannot tell how likely given tokens are."""
    said = capability(engine, "lacking")
    return f"{type(engine).__name__} has none to give" + (f": {said}" if said else "")
