"""Given texts, and how likely a model finds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmdiff.formats.messages import Message


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
