"""Semantic drift: how far the tuned reply's meaning is from the base's, as an encoder sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.metrics.scoring import scores_of


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(comparison.base.text, comparison.tuned.text)]


@dataclass(frozen=True, kw_only=True)
class SemanticDrift:
    """Cosine distance of the replies' sentence embeddings, 0 (same) to 2 (opposite).

    A topic check: sentence encoders do not see negation, so two contradicting replies can be close
    (Reimers & Gurevych 2019, arXiv 1908.10084, for the encoders).
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
