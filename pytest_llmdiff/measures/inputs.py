"""How likely both models of a run find given texts, for the measures that rest on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import SIDES, Comparison, PassagesOf, Run, Side
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import Likelihood, Passage
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.generator import ReplyGenerator

NO_RUN = "a likelihood needs both models: take comparisons from a fixture"


class InputsRun(Run, Protocol):
    """A run that finds how likely its models find texts."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """The likelihoods of one comparison's texts under both models, in order.

    `unsupported` says why they are missing; None if the comparison has no texts to score.
    """

    base: tuple[Likelihood, ...] = ()
    tuned: tuple[Likelihood, ...] = ()
    unsupported: str | None = None


def likelihoods_of(comparisons: Sequence[Comparison], passages_of: PassagesOf) -> list[Likelihoods]:
    """The likelihoods of each comparison's texts under both models."""
    counts = [len(passages_of(comparison)) for comparison in comparisons]
    if not any(counts):
        return [Likelihoods() for _ in comparisons]
    run = comparisons[0].run
    if run is None:
        return [_unsupported(count, NO_RUN) for count in counts]
    try:
        sides = [iter(_likelihoods(run, side, comparisons, passages_of)) for side in SIDES]
    except CapabilityError as error:
        return [_unsupported(count, str(error)) for count in counts]
    return [_both(*(list(islice(side, count)) for side in sides)) for count in counts]


def base_likelihoods_of(
    comparisons: Sequence[Comparison], passages_of: PassagesOf, *, together: bool = True
) -> list[tuple[Likelihood, ...]]:
    """The likelihoods of each comparison's texts under the base; empty where they are not known.

    With `together`, those of the comparisons' whole window are computed if one is missing.
    """
    counts = [len(passages_of(comparison)) for comparison in comparisons]
    run = next((c.run for c in comparisons if c.run is not None), None)
    if run is None or not any(counts):
        return [() for _ in comparisons]
    try:
        found = iter(_likelihoods(run, "base", comparisons, passages_of, together=together))
    except CapabilityError:
        return [() for _ in comparisons]
    held = (list(islice(found, count)) for count in counts)
    return [
        tuple(x for x in own if not isinstance(x, str))
        if not any(isinstance(x, str) for x in own)
        else ()
        for own in held
    ]


def _likelihoods(
    run: Run,
    side: Side,
    comparisons: Sequence[Comparison],
    passages_of: PassagesOf,
    *,
    together: bool = True,
) -> list[Likelihood | str]:
    from pytest_llmdiff.generation.likelihoods import likelihoods

    inputs = cast("InputsRun", run)
    own = [passage for comparison in comparisons for passage in passages_of(comparison)]

    def around() -> list[Passage]:
        near = inputs.comparer.near(comparisons) if together else comparisons
        return [passage for comparison in near for passage in passages_of(comparison)]

    return likelihoods(inputs.generation, side, own, around)


def _both(base: list[Likelihood | str], tuned: list[Likelihood | str]) -> Likelihoods:
    reasons = [why for why in (*base, *tuned) if isinstance(why, str)]
    if reasons:
        return Likelihoods(unsupported=reasons[0])
    known = (tuple(x for x in side if not isinstance(x, str)) for side in (base, tuned))
    return Likelihoods(base=next(known), tuned=next(known))


def _unsupported(count: int, reason: str) -> Likelihoods:
    return Likelihoods(unsupported=reason if count else None)
