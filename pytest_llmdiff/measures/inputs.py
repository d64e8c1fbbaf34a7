"""What measures take from their run: scores of texts, and likelihoods of given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import (
    SIDES,
    Comparison,
    InputsOf,
    PassagesOf,
    Run,
    Score,
    Side,
)
from pytest_llmdiff.data.tokens import Likelihood, Passage
from pytest_llmdiff.errors import CapabilityError, ScorerError

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.generation.scoring import Scoring

NO_RUN = "a likelihood needs both models: it is there for comparisons made by a fixture"


class InputsRun(Run, Protocol):
    """A run that scores texts, and finds how likely its models find them."""

    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def comparer(self) -> Comparer: ...
    @property
    def scoring(self) -> Scoring: ...


@dataclass(frozen=True, kw_only=True)
class Told:
    """The likelihoods of one comparison's texts, in order; `unsupported` says why there are none
    where texts were asked for."""

    base: tuple[Likelihood, ...] = ()
    tuned: tuple[Likelihood, ...] = ()
    unsupported: str | None = None


def likelihoods_of(comparisons: Sequence[Comparison], passages_of: PassagesOf) -> list[Told]:
    """What both models make of the texts of each comparison."""
    counts = [len(passages_of(comparison)) for comparison in comparisons]
    if not any(counts):
        return [Told() for _ in comparisons]
    run = comparisons[0].run
    if run is None:
        return [_untold(count, NO_RUN) for count in counts]
    try:
        sides = [iter(_likelihoods(run, side, comparisons, passages_of)) for side in SIDES]
    except CapabilityError as error:
        return [_untold(count, str(error)) for count in counts]
    found = []
    for count in counts:
        found.append(_told(*(list(islice(side, count)) for side in sides)))
    return found


def _likelihoods(
    run: Run, side: Side, comparisons: Sequence[Comparison], passages_of: PassagesOf
) -> list[Likelihood | str]:
    from pytest_llmdiff.generation.likelihoods import likelihoods

    inputs = cast("InputsRun", run)
    own = [passage for comparison in comparisons for passage in passages_of(comparison)]

    def around() -> list[Passage]:
        near = inputs.comparer.near(comparisons)
        return [passage for comparison in near for passage in passages_of(comparison)]

    return likelihoods(inputs.generation, side, own, around)


def _told(base: list[Likelihood | str], tuned: list[Likelihood | str]) -> Told:
    reasons = [why for why in (*base, *tuned) if isinstance(why, str)]
    if reasons:
        return Told(unsupported=reasons[0])
    known = (tuple(x for x in side if not isinstance(x, str)) for side in (base, tuned))
    return Told(base=next(known), tuned=next(known))


def _untold(count: int, reason: str) -> Told:
    return Told(unsupported=reason if count else None)


def scores_of(
    role: str, comparisons: Sequence[Comparison], inputs_of: InputsOf, scorer: object | None
) -> list[Score]:
    """Scores of all inputs, in order.

    Raises:
        ScorerError: a comparison made by hand comes without a scorer, or the scorer cannot be had.
    """
    if not comparisons:
        return []
    run = comparisons[0].run
    if run is not None:
        from pytest_llmdiff.generation.comparison_scores import comparison_scores

        return comparison_scores(cast("InputsRun", run), role, comparisons, inputs_of, scorer)
    if scorer is None:
        raise ScorerError(
            f"this comparison was made by hand and knows no {role}: give scorer= "
            "(a name as in --llmdiff-" + role + ", or an object)"
        )
    from pytest_llmdiff.scorers.opening import open_scorer
    from pytest_llmdiff.store import Store

    # The store is only for remembering file hashes, which nothing asks for here.
    opened = open_scorer(
        role, scorer, folder=Path(), store=Store(Path(".llmdiff")), device=lambda: "cpu"
    )
    return opened.score([texts for comparison in comparisons for texts in inputs_of(comparison)])
