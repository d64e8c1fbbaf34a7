"""Semantic drift: how far the tuned reply's meaning is from the base's, for a sentence encoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(comparison.base.text, comparison.tuned.text)]


@dataclass(frozen=True, kw_only=True)
class SemanticDrift:
    """Cosine distance of the replies' sentence embeddings, 0 (same) to 2 (opposite).

    This compares topics: sentence encoders (Reimers & Gurevych 2019, arXiv 1908.10084) hardly see
    negation, so that replies that contradict each other can be close.
    """

    scorer: object | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        scores = scores_of("embedder", comparisons, _texts, self.scorer)
        return [
            Measurement(
                name="semantic drift",
                value=math.nan if score.value is None else score.value,
                unit="cosine distance",
                unsupported=score.unsupported,
            )
            for score in scores
        ]


# Replies about unrelated topics are about 1 apart (docs/measures.md).
DRIFT = View(support=(0.0, 2.0), unseen=(0.0, 1.0), relative=True)


def assert_semantic_drift(
    subject: Subject,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    scorer: object | None = None,
) -> None:
    """The replies' meaning moved no farther than allowed and, where tuning must change it, at least
    as far as required.

    Args:
        subject: a comparison, or a set of them: from the fixtures `comparison` and `comparisons`,
            from `llm_pair`, or made by hand.
        at_most: the largest cosine distance of the sentence embeddings, 0 to 2; for a set, the
            largest mean.
        at_least: the smallest cosine distance; for a set, the smallest mean.
        scorer: an embedder to use instead of the run's, as in `--llmdiff-embedder` or an object.

    Raises:
        AssertionError: a limit is broken or missing, the embedder cannot judge the replies, or the
            set is too small to decide.
        ScorerError: there is no embedder.
    """
    __tracebackhide__ = True
    question = Question(view=DRIFT, at_most=at_most, at_least=at_least)
    settle(subject, SemanticDrift(scorer=scorer), [question])


@overload
def semantic_drift(subject: Comparison, *, scorer: object | None = None) -> Measurement: ...
@overload
def semantic_drift(
    subject: Iterable[Comparison], *, scorer: object | None = None
) -> list[Measurement]: ...
def semantic_drift(
    subject: Comparison | Iterable[Comparison], *, scorer: object | None = None
) -> Measurement | list[Measurement]:
    """Cosine distance of the replies' sentence embeddings, 0 to 2."""
    return measured(SemanticDrift(scorer=scorer), subject)
