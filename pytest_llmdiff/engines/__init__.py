"""Engines answer requests. `Engine` is the extension point: `python:module:object` names one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
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

    `error` is for a fault of the prompt itself (too long, refused by the template): it fails that
    probe alone and is stored like a reply. With `passing` it may be gone next time (a server that
    broke off), and a later run asks again. The other fields are about a reply that was decoded
    with the other side's reply as a draft: `ties` counts draft tokens that were accepted although
    another token was likelier by less than the noise of rounding, `margin` (nats) is by how much
    the first token that differs was likelier, and `near_tie` says that rounding may have decided.
    """

    reply: Reply | None = None
    prompt_ids: tuple[int, ...] = ()
    error: str | None = None
    passing: bool = False
    ties: int = 0
    margin: float | None = None
    near_tie: bool = False


@runtime_checkable
class Engine(Protocol):
    """Anything that answers requests.

    Optional capabilities are methods and attributes that `capability` looks up by name. Those for
    engines outside this package are in docs/models.md, "Your own engine".
    """

    def fingerprint(self) -> str:
        """Content hash of all that a reply depends on besides the request. Loads no weights."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        """Outcomes with their index into `requests`, in any order, as they finish."""

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Prompt token ids, generation prompt included. Needs no weights."""

    def close(self) -> None:
        """Free the memory; a later call loads again."""


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """A given prompt and reply as token ids, to be scored by a model."""

    prompt_ids: tuple[int, ...]
    reply_ids: tuple[int, ...]


class TokenLogits(Protocol):
    """Capability `token_logits`: a model's logits at each token of given replies."""

    def token_logits(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and logits `[len(reply_ids), vocabulary]`, at most about `rows` rows at a time."""


class TokenLogprobs(Protocol):
    """Capability `token_logprobs`: likelihoods of given replies, for engines that compute them at
    less cost than logits."""

    def token_logprobs(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, list[float]]]:
        """Index and log-probabilities (nats) of the reply's tokens, about `rows` tokens at once."""


class LikelyTokens(Protocol):
    """Capability `likely_tokens`: the likeliest tokens at each token of given replies, for engines
    whose logits are missing or expensive."""

    def likely_tokens(
        self, items: Sequence[Continuation]
    ) -> Iterator[tuple[int, Sequence[Mapping[int, float]]]]:
        """Index and, for each token of the reply, log-probabilities (nats) by token id: of the
        token itself and of some of the likeliest tokens, including the likeliest."""


class Attentions(Protocol):
    """Capability `attentions`: a model's attention over given replies."""

    def attentions(
        self, item: Continuation, layers: Container[int], *, again: bool = False
    ) -> list[LayerAttention]:
        """Attention of these layers at the tokens of the reply, in layer order. With `again` it
        comes from a pass of another shape, which differs by rounding only.

        Raises:
            CapabilityError: the attention of this architecture cannot be read.
        """

    def attention_size(self) -> tuple[int, int]:
        """Number of layers, and of heads in each."""


class RecordedDivergence(Protocol):
    """Capability `divergence`: an engine that has the statistics without any weights."""

    def divergence(self, request: Request, base: Reply) -> TokenDivergences:
        """Statistics of the pair on the base's reply. Raises ModelError where there are none."""


def capability(engine: Engine, name: str) -> Any:
    """The engine's method of that name, or None."""
    return getattr(engine, name, None)


def lacks_logits(engine: Engine) -> str:
    """The end of an error message about an engine that cannot score given tokens."""
    reason = capability(engine, "lacking")
    return f"{type(engine).__name__} has none" + (f": {reason}" if reason else "")
