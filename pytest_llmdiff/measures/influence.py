"""Where a change was learnt: from which training examples, and in which parts of the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from pytest_llmdiff.data.comparison import SIDES, Comparison, Side
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.carriers import Carriers
from pytest_llmdiff.explain.training.values import AT, At, Influences


class InfluenceRun(Protocol):
    """A run that knows how its tuned model was trained."""

    def influences(
        self, comparison: Comparison, *, reply: Side, examples: int | None, at: At
    ) -> Influences:
        """The training examples that push most towards a reply; see `influence`."""

    def carriers(self, comparisons: Sequence[Comparison]) -> Carriers:
        """The parts of the adapter that carry the change; see `carriers` below."""


NEAREST = 200  # examples that are ranked by default
FIRST = 8  # comparisons of a set that `carriers` uses


def influence(
    comparison: Comparison,
    *,
    examples: int | None = NEAREST,
    reply: Side = "tuned",
    at: At = "start",
) -> Influences:
    """The training examples that push most towards a reply: TracIn over the adapter's parameters
    (Pruthi et al. 2020, arXiv 2002.08484), ranked by the cosine of the gradients.

    Args:
        comparison: from a fixture.
        examples: how many examples are ranked: those whose prompts are nearest to this one in
            meaning; None for all.
        reply: the reply to explain, "tuned" or "base".
        at: the weights at which the gradients are taken. "start" is the adapter without its update,
            "final" the end of the training, "checkpoints" the sum over its saved checkpoints, each
            weighted by its learning rate.

    Raises:
        CapabilityError: the tuned model is not a PEFT adapter over weights loaded in this process,
            or the recording has no such result.
        ConfigError: the training data is unknown, there are no checkpoints, or an argument is
            invalid.
        ScorerError: there is no embedder to find the nearest examples with.
    """
    if reply not in SIDES or at not in AT:
        raise ConfigError(
            f"influence: got reply={reply!r} and at={at!r}; expected one of "
            f"{', '.join(SIDES)} and one of {', '.join(AT)}"
        )
    if examples is not None and examples < 1:
        raise ConfigError(f"influence: got examples={examples!r}; expected 1 or more, or None")
    run = _run_of(comparison, "influence")
    return run.influences(comparison, reply=reply, examples=examples, at=at)


def carriers(subject: Comparison | Iterable[Comparison]) -> Carriers:
    """Which layers and kinds of modules of the adapter carry the change of the tuned replies.

    Args:
        subject: a comparison from a fixture; or a set, of which the first eight comparisons whose
            replies differ are used.

    Raises:
        CapabilityError: the tuned model is not a PEFT adapter over weights loaded in this process,
            or the recording has no such result.
        ConfigError: no comparison of the set has replies that differ.
    """
    chosen = [subject] if isinstance(subject, Comparison) else list(_differing(subject))
    if not chosen:
        raise ConfigError("carriers: no comparison of the set has replies that differ")
    return _run_of(chosen[0], "carriers").carriers(chosen)


def _differing(subject: Iterable[Comparison]) -> Iterator[Comparison]:
    return islice((c for c in subject if c.base.text != c.tuned.text), FIRST)


def _run_of(comparison: Comparison, helper: str) -> InfluenceRun:
    if comparison.given is not None:
        raise ConfigError(f"{helper}: {comparison.probe.id} was read, not answered")
    if comparison.run is None:
        raise ConfigError(
            f"{helper}: this comparison was made by hand; take one from a fixture or llm_pair"
        )
    run: Any = comparison.run
    found: InfluenceRun = run
    return found
