"""How far two models are apart at each token of a reply."""

from __future__ import annotations

from dataclasses import dataclass


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
class SeenToken:
    """One token of a reply: its text as it is read, KL(base‖tuned) in nats where it stands, and its
    log-probability (nats) under either model."""

    text: str
    kl: float
    base_logprob: float
    tuned_logprob: float


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """Both replies token by token, each as both models see it.

    `at` is the first token that differs, from 0, or None; `base_likely` and `tuned_likely` are the
    likeliest tokens of either model there, each with its probability.
    """

    base: tuple[SeenToken, ...]
    tuned: tuple[SeenToken, ...]
    at: int | None = None
    base_likely: tuple[tuple[str, float], ...] = ()
    tuned_likely: tuple[tuple[str, float], ...] = ()


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
