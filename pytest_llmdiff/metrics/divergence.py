"""Divergence: how differently the tuned model would have continued, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.divergences import TokenDivergences
from pytest_llmdiff.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """KL(base‖tuned) in nats, full vocabulary, mean over the tokens of the base's reply.

    Teacher-forced: both models read the base's reply, each after its own rendering of the prompt.
    `details` has the first flipped token (counted from 1) and the share of flipped tokens.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        run = comparisons[0].run
        if run is None:
            raise ModelError(
                "the divergence needs both models: it is there for comparisons made by a fixture"
            )
        return [_measurement(value) for value in run.divergences(comparisons)]


def _measurement(value: TokenDivergences) -> Measurement:
    if value.unsupported is not None or not value.tokens:
        return Measurement(
            name="divergence",
            value=math.nan,
            unit="nats per token",
            unsupported=value.unsupported or "the base's reply has no tokens",
            least=value.at_least,
            details={} if value.at_least is None else {"at_least": value.at_least},
        )
    flip = value.first_flip
    return Measurement(
        name="divergence",
        value=value.mean,
        unit="nats per token",
        details={
            "tokens": len(value.tokens),
            "first_flip": None if flip is None else flip + 1,
            "flip_rate": sum(token.flipped for token in value.tokens) / len(value.tokens),
            "max": max(token.kl for token in value.tokens),
        },
    )
