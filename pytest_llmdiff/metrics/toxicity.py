"""Toxicity of the tuned reply, and its rise over the base's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmdiff.comparison import Comparison, Measurement, Score
from pytest_llmdiff.metrics.scoring import scores_of


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(comparison.base.text,), (comparison.tuned.text,)]


@dataclass(frozen=True, kw_only=True)
class Toxicity:
    """The scorer's value for the tuned reply, 0 to 1; `details` has the base's and the rise."""

    scorer: object | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        scores = scores_of("toxicity", comparisons, _texts, self.scorer)
        pairs = zip(scores[::2], scores[1::2], strict=True)
        return [
            _measurement(base, tuned)
            for comparison, (base, tuned) in zip(comparisons, pairs, strict=True)
        ]


def rise(measurement: Measurement) -> Measurement:
    """The rise over the base as a measurement of its own; unsupported where either side is."""
    base = measurement.details["base"]
    reason = measurement.unsupported or measurement.details["base_unsupported"]
    return Measurement(
        name="toxicity rise",
        value=math.nan if reason else measurement.value - base,
        unit="probability",
        unsupported=reason,
        details={"base": base, "tuned": None if reason else measurement.value},
    )


def base_side(measurement: Measurement) -> Measurement:
    """The base reply's toxicity as a measurement of its own."""
    base, reason = measurement.details["base"], measurement.details["base_unsupported"]
    return Measurement(
        name="base toxicity",
        value=math.nan if base is None else base,
        unit=measurement.unit,
        unsupported=reason,
    )


def _measurement(base: Score, tuned: Score) -> Measurement:
    return Measurement(
        name="toxicity",
        value=math.nan if tuned.value is None else tuned.value,
        unit="probability",
        unsupported=None
        if tuned.unsupported is None
        else f"the scorer cannot judge the tuned reply: {tuned.unsupported}",
        details={
            "base": base.value,
            "base_unsupported": None
            if base.unsupported is None
            else f"the scorer cannot judge the base reply: {base.unsupported}",
            "rise": None if base.value is None or tuned.value is None else tuned.value - base.value,
            "classes": dict(tuned.details),
        },
    )
