"""Divergence: how far the tuned model's next-token probabilities are from the base's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Run
from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.generator import ReplyGenerator


class DivergenceRun(Run, Protocol):
    """A run whose models read each other's replies."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """KL(base‖tuned) over the full vocabulary, in nats: the mean over the base reply's tokens.

    The divergence of Kullback and Leibler (1951). Teacher-forced: both models read the base reply,
    each after its own rendering of the prompt. `details` has the first flipped token (from 1), the
    share of flipped tokens, and the largest divergence of a token. A token is flipped where the two
    models' most likely tokens differ.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        run = comparisons[0].run
        if run is None:
            raise ModelError("the divergence needs both models: take comparisons from a fixture")
        run = cast("DivergenceRun", run)
        requests = [run.comparer.request(comparison) for comparison in comparisons]
        return [_measurement(value) for value in run.generation.divergences(requests)]


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


DIVERGENCE = View(support=(0.0, math.inf), dense=True)


def assert_divergence(subject: Subject, *, at_most: float | None = None) -> None:
    """The tuned model's token probabilities on the base reply stay close to the base's.

    Args:
        subject: a comparison from a fixture, or a set of them.
        at_most: the largest KL(base‖tuned), in nats per token of the base reply; for a set, the
            largest mean.

    Raises:
        AssertionError: the limit is exceeded or missing, the models cannot be compared (their
            tokens differ, or an engine has no logits), or the set is too small to decide.
        ModelError: the comparison was made by hand.
    """
    __tracebackhide__ = True
    settle(subject, Divergence(), [Question(view=DIVERGENCE, at_most=at_most)])


@overload
def divergence(subject: Comparison) -> Measurement: ...
@overload
def divergence(subject: Iterable[Comparison]) -> list[Measurement]: ...
def divergence(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """KL(base‖tuned) in nats, the mean over the base reply's tokens, teacher-forced.

    `details` has the first flipped token (from 1) and the share of flipped tokens.
    """
    return measured(Divergence(), subject)
