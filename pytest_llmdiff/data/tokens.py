"""What models make of each token of a text: divergences and likelihoods, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmdiff.data.messages import Message


@dataclass(frozen=True, kw_only=True)
class TokenDivergence:
    """One position of the base's reply, teacher-forced through both models.

    `text` is the base's token there; `tuned_text` the tuned model's most likely one. The four
    log-probabilities (nats) belong to those two tokens under each model.
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
    """KL(base‖tuned) in nats at each token of the base's reply, over the full vocabulary.

    Where it is `unsupported`, `at_least` is what its mean is known not to be less than, if
    anything is known.
    """

    tokens: tuple[TokenDivergence, ...]
    unsupported: str | None = None
    at_least: float | None = None

    @property
    def mean(self) -> float:
        return sum(token.kl for token in self.tokens) / len(self.tokens)

    @property
    def first_flip(self) -> int | None:
        """Index of the first token where the two models' most likely tokens differ."""
        return next((i for i, token in enumerate(self.tokens) if token.flipped), None)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A given text whose likelihood is asked: the answer `after` chat messages or, after none, an
    ordinary text by itself."""

    text: str
    after: tuple[Message, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """How likely a model finds a given text: log-probabilities in nats, per token and summed."""

    token_logprobs: tuple[float, ...]

    @property
    def log_likelihood(self) -> float:
        return math.fsum(self.token_logprobs)

    @property
    def mean(self) -> float:
        """Mean log-probability per token."""
        return self.log_likelihood / len(self.token_logprobs)
