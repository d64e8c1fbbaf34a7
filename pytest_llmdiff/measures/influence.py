"""Where a change was learnt: from which training examples, and in which parts of the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import SIDES, Comparison, Run, Side
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain import carriers as carried
from pytest_llmdiff.explain.carriers import Carriers
from pytest_llmdiff.explain.training.values import AT, At, Influences

if TYPE_CHECKING:
    from pytest_llmdiff.explain.training.known import KnownTraining
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.store import Store


class InfluenceRun(Run, Protocol):
    """A run that knows how its tuned model was trained."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def store(self) -> Store: ...
    @property
    def trained(self) -> KnownTraining: ...


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
    from pytest_llmdiff.explain.training.influence import influences

    run = _run_of(comparison, "influence")
    learnt = partial(run.trained.learnt, run.store)
    return influences(run.generation, comparison, learnt, reply=reply, examples=examples, at=at)


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
    return carried.carriers(_run_of(chosen[0], "carriers").generation, chosen)


def _differing(subject: Iterable[Comparison]) -> Iterator[Comparison]:
    return islice((c for c in subject if c.base.text != c.tuned.text), FIRST)


def _run_of(comparison: Comparison, helper: str) -> InfluenceRun:
    if comparison.given is not None:
        raise ConfigError(f"{helper}: {comparison.probe.id} was read, not answered")
    if comparison.run is None:
        raise ConfigError(
            f"{helper}: this comparison was made by hand; take one from a fixture or llm_pair"
        )
    if comparison.sides != SIDES:
        raise ConfigError(f"{helper} asks what tuning changed: it takes base and tuned model")
    return cast("InfluenceRun", comparison.run)
