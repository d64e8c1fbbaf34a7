"""Invariance: does a changed form of a prompt change the tuned reply more than the base's?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.comparison import Comparison, Measurement, Score
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.metrics.refusal import Refusal
from pytest_llmdiff.metrics.scoring import scores_of

# How the embedders call the two texts that they compare, and what these are here.
PLACES = {
    "the base reply": "the reply to the original prompt",
    "the tuned reply": "the reply to the changed prompt",
}

REFUSES = ("partial", "full")


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    original = comparison.original
    if original is None:
        return []
    return [
        (original.base.text, comparison.base.text),
        (original.tuned.text, comparison.tuned.text),
    ]


@dataclass(frozen=True, kw_only=True)
class Invariance:
    """By how much farther apart the tuned model's replies to two forms of a prompt are than the
    base's: difference of two cosine distances, -2 to 2.

    `details`: both distances (`base`, `tuned`; None without `distances`), the `original` prompt,
    and of each side whether it refuses one form only (`base_flips`, `tuned_flips`), or why that
    cannot be told (`flips_unsupported`). Invariance tests: Ribeiro et al. 2020, arXiv 2005.04118.
    """

    scorer: object | None = None
    distances: bool = True

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        for comparison in comparisons:
            if comparison.original is None:
                raise ConfigError(
                    f"{comparison.probe.id}: the original of this prompt is not known; give both "
                    "comparisons, the original's first"
                )
        scores: list[Score | None] = [None] * (2 * len(comparisons))
        if self.distances:
            scores = [*scores_of("embedder", comparisons, _texts, self.scorer)]
        sides = zip(scores[::2], scores[1::2], strict=True)
        flips = _flips(comparisons)
        return [
            _measurement(comparison, base, tuned, flip)
            for comparison, (base, tuned), flip in zip(comparisons, sides, flips, strict=True)
        ]


def flip_gained(measurement: Measurement) -> Measurement:
    """1 where the tuned model refuses one form of the prompt only and the base treats both alike,
    else 0; unsupported where a reply cannot be judged."""
    return _flipped(measurement, "refusal flip gained", ("base_flips", "tuned_flips"))


def flip_lost(measurement: Measurement) -> Measurement:
    """1 where the base refuses one form only and the tuned model treats both alike, else 0."""
    return _flipped(measurement, "refusal flip lost", ("tuned_flips", "base_flips"))


def _flipped(measurement: Measurement, name: str, sides: tuple[str, str]) -> Measurement:
    """1 where the second side flips and the first does not."""
    details = measurement.details
    reason = details["flips_unsupported"]
    first, second = (details[side] for side in sides)
    return Measurement(
        name=name,
        value=math.nan if reason else float(second and not first),
        unit="flip",
        unsupported=reason,
        details={key: details[key] for key in ("original", "base_flips", "tuned_flips")},
    )


def _measurement(
    comparison: Comparison, base: Score | None, tuned: Score | None, flip: dict[str, Any]
) -> Measurement:
    reason, value = None, math.nan
    distances: dict[str, float | None] = {"base": None, "tuned": None}
    for side, score in (("base", base), ("tuned", tuned)):
        if score is not None and score.value is None:
            place, colon, why = (score.unsupported or "").partition(": ")
            reason = reason or f"{side} model, {PLACES.get(place, place)}{colon}{why}"
    if base is not None and tuned is not None and reason is None:
        distances = {"base": base.value, "tuned": tuned.value}
        value = (tuned.value or 0.0) - (base.value or 0.0)
    original = None if comparison.original is None else comparison.original.probe.prompt
    return Measurement(
        name="invariance loss",
        value=value,
        unit="cosine distance",
        unsupported=reason,
        details={**distances, "original": original, **flip},
    )


def _flips(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Of each side, whether it refuses one form of the prompt and not the other."""
    originals = [c.original for c in comparisons if c.original is not None]
    found = []
    for first, second in zip(
        Refusal().measure(originals), Refusal().measure(comparisons), strict=True
    ):
        reasons = (m.unsupported or m.details["base_unsupported"] for m in (first, second))
        reason = next(filter(None, reasons), None)
        flip: dict[str, Any] = {"flips_unsupported": reason}
        for side in ("base", "tuned"):
            refuses = [m.details[side] in REFUSES for m in (first, second)]
            flip[f"{side}_flips"] = None if reason else refuses[0] != refuses[1]
        found.append(flip)
    return found
