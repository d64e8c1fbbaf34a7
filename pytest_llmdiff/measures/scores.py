"""Scores of comparisons: from their run, or by a scorer that is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_llmdiff.data.comparison import Comparison, InputsOf, Score
from pytest_llmdiff.errors import ScorerError

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparison_scores import ScoredRun


def scores_of(
    role: str, comparisons: Sequence[Comparison], inputs_of: InputsOf, scorer: object | None
) -> list[Score]:
    """The scores of all inputs of the comparisons, in order.

    Args:
        role: `embedder` or `toxicity`.
        comparisons: all from one run, or all made by hand.
        inputs_of: the inputs of a comparison, each one or more texts.
        scorer: a scorer to use instead of the run's; required for comparisons made by hand.

    Raises:
        ScorerError: a comparison made by hand comes without a scorer, or the scorer is unavailable.
    """
    if not comparisons:
        return []
    run = comparisons[0].run
    if run is not None:
        from pytest_llmdiff.generation.comparison_scores import comparison_scores

        return comparison_scores(cast("ScoredRun", run), role, comparisons, inputs_of, scorer)
    if scorer is None:
        raise ScorerError(
            f"this comparison was made by hand and has no {role}: give scorer= "
            "(a name as in --llmdiff-" + role + ", or an object)"
        )
    from pytest_llmdiff.scorers.opening import open_scorer
    from pytest_llmdiff.store import Store

    # The store only caches file hashes, which are not needed here.
    opened = open_scorer(
        role, scorer, folder=Path(), store=Store(Path(".llmdiff")), device=lambda: "cpu"
    )
    return opened.score([texts for comparison in comparisons for texts in inputs_of(comparison)])
