"""Scores of comparisons: those of a whole window together, and none in a language that the scorer
does not judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pytest_llmdiff.data.comparison import Comparison, InputsOf, Score

if TYPE_CHECKING:
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.scoring import Scoring


class ScoredRun(Protocol):
    """A run with scorers."""

    @property
    def comparer(self) -> Comparer: ...
    @property
    def scoring(self) -> Scoring: ...


def comparison_scores(
    run: ScoredRun,
    role: str,
    comparisons: Sequence[Comparison],
    inputs_of: InputsOf,
    spec: object | None = None,
) -> list[Score]:
    """Scores of the inputs of the comparisons, in order, by the scorer of a role (`embedder`,
    `toxicity` or `refusal`); `spec` names a different scorer than the run's.

    Raises:
        ScorerError: the scorer cannot be loaded, or returned something other than a score.
    """
    own = [texts for comparison in comparisons for texts in inputs_of(comparison)]

    def around() -> list[tuple[str, ...]]:
        near = run.comparer.near(comparisons)
        return [texts for comparison in near for texts in inputs_of(comparison)]

    scores = run.scoring.scores(role, spec, own, around)
    declared = [c.probe.language for c in comparisons for _ in inputs_of(c)]
    if not any(declared):
        return scores
    from pytest_llmdiff.data.text.language.scripts import undeclared

    languages = run.scoring.languages(role, spec)
    reasons = [undeclared(language, languages) for language in declared]
    return [
        score if reason is None else Score(value=None, unsupported=reason)
        for score, reason in zip(scores, reasons, strict=True)
    ]
