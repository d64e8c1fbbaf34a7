"""Where a metric's scores come from: the run of its comparisons, or a scorer given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.comparison import Comparison, InputsOf, Score
from pytest_llmdiff.errors import ScorerError


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
        return run.scores(role, comparisons, inputs_of, scorer)
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
