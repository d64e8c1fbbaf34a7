"""Values per token of a text: divergences between the models, and likelihoods."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmdiff.data.messages import Message


@dataclass(frozen=True, kw_only=True)
class TokenDivergence:
    """One position of the base reply, teacher-forced through both models.

    `text` is the base's token, `tuned_text` the tuned model's most likely one; `kl` is
    KL(base‖tuned) in nats. The four log-probabilities (nats) are those of the two tokens under each
    model. `flipped` says that the models' most likely tokens differ.
    """

    text: str
    kl: float
    base_logprob: float
    tuned_logprob: float
    tuned_text: str
    tuned_text_base_logprob: float
    tuned_text_tuned_logprob: float
    flipped: bool


@dataclass(frozen=True, kw_only=True)
class TokenDivergences:
    """KL(base‖tuned) in nats at each token of the base reply, over the full vocabulary.

    If it is `unsupported`, `at_least` is a known lower bound of the mean, if any.
    """

    tokens: tuple[TokenDivergence, ...]
    unsupported: str | None = None
    at_least: float | None = None

    @property
    def mean(self) -> float:
        return sum(token.kl for token in self.tokens) / len(self.tokens)

    @property
    def first_flip(self) -> int | None:
        """Index of the first token at which the models' most likely tokens differ."""
        return next((i for i, token in enumerate(self.tokens) if token.flipped), None)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A given text whose likelihood is computed: an answer that comes `after` chat messages, or, if
    there are none, an ordinary text by itself."""

    text: str
    after: tuple[Message, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The log-probability (nats) of each token of a given text under one model."""

    token_logprobs: tuple[float, ...]

    @property
    def log_likelihood(self) -> float:
        return math.fsum(self.token_logprobs)

    @property
    def mean(self) -> float:
        """Mean log-probability per token, in nats."""
        return self.log_likelihood / len(self.token_logprobs)
