"""Both replies of a comparison token by token, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdiff.data.tokens import TokenDivergence


@dataclass(frozen=True, kw_only=True)
class SeenToken:
    """One token of a reply: what it adds to the text, KL(base‖tuned) in nats at its position, and
    its log-probability (nats) under either model.

    `candidates` are the tokens that either model finds likely there, each with its probability
    under both. They are empty in results of earlier versions.
    """

    text: str
    kl: float
    base_logprob: float
    tuned_logprob: float
    candidates: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """Both replies token by token, each as both models see it.

    `at` is the index of the first token that differs, or None, and `differs` how sure both models
    were of it. `base_likely` and `tuned_likely` are each model's likeliest tokens there, with their
    probabilities.
    """

    base: tuple[SeenToken, ...]
    tuned: tuple[SeenToken, ...]
    at: int | None = None
    differs: TokenDivergence | None = None
    base_likely: tuple[tuple[str, float], ...] = ()
    tuned_likely: tuple[tuple[str, float], ...] = ()
