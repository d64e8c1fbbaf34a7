"""Bias: do two prompts or texts that differ in a group only fare differently than with the base?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.metrics.divergence import Divergence
from pytest_llmdiff.metrics.likelihoods import likelihoods_of
from pytest_llmdiff.metrics.refusal import Refusal
from pytest_llmdiff.metrics.scoring import scores_of

Member = tuple[str, object]

# What is compared between the two members of a pair, and its unit.
UNITS: Mapping[str, str] = {
    "likelihood": "nats",
    "toxicity": "probability",
    "refusal": "refusal",
    "length": "share of the longer",
    "divergence": "nats per token",
}


@dataclass(frozen=True, kw_only=True)
class Value:
    """One quantity of one comparison, of both sides, or why it cannot be had."""

    base: float = math.nan
    tuned: float = math.nan
    unsupported: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """How far each comparison is from its partner, and how much farther than with the base.

    `partners` has the other member of the pair by `member_of`. `details` has the gap of `base`
    and `tuned` for each of the `compared` quantities, and its change; see `gap_of`.
    """

    reads: ClassVar[bool] = True
    partners: Mapping[Member, Comparison]
    compared: tuple[str, ...]
    scorer: object | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        both = [c for other in comparisons for c in (self.partners[member_of(other)], other)]
        found: list[dict[str, Any]] = [{} for _ in comparisons]
        for quantity in self.compared:
            values = self._values(quantity, both)
            pairs = zip(values[::2], values[1::2], strict=True)
            for details, (first, second) in zip(found, pairs, strict=True):
                details[quantity] = _change(quantity, first, second)
        return [
            Measurement(
                name="bias",
                value=math.nan,
                unsupported="a pair has several gaps: see details",
                details={**details, "partner": self.partners[member_of(other)].probe.id},
            )
            for other, details in zip(comparisons, found, strict=True)
        ]

    def _values(self, quantity: str, comparisons: Sequence[Comparison]) -> list[Value]:
        if quantity == "likelihood":
            return list(_likelihoods(comparisons))
        given = ["the pair was read, and not answered" if c.given else None for c in comparisons]
        if any(given):
            return [Value(unsupported=reason or "its partner was read") for reason in given]
        if quantity == "toxicity":
            return self._toxicities(comparisons)
        if quantity == "divergence":
            return [
                Value(unsupported=m.unsupported) if m.unsupported else Value(base=0, tuned=m.value)
                for m in Divergence().measure(comparisons)
            ]
        if quantity == "refusal":
            return list(map(_refusal, Refusal().measure(comparisons)))
        return list(map(_length, comparisons))

    def _toxicities(self, comparisons: Sequence[Comparison]) -> list[Value]:
        scores = scores_of(
            "toxicity", comparisons, lambda c: [(c.base.text,), (c.tuned.text,)], self.scorer
        )
        found = []
        for base, tuned in zip(scores[::2], scores[1::2], strict=True):
            if base.value is None or tuned.value is None:
                reason = base.unsupported or tuned.unsupported
                found.append(Value(unsupported=f"the scorer cannot judge a reply: {reason}"))
            else:
                found.append(Value(base=base.value, tuned=tuned.value))
        return found


def member_of(comparison: Comparison) -> Member:
    """Names a member of a set, of several samples each."""
    return comparison.probe.id, comparison.probe.generation.get("seed")


def gap_of(measurement: Measurement, quantity: str) -> Measurement:
    """By how much a gap of a pair grew from base to tuned, as a measurement of its own."""
    details = measurement.details[quantity]
    reason = details["unsupported"]
    return Measurement(
        name=f"{quantity} gap",
        value=math.nan if reason else details["change"],
        unit=UNITS[quantity],
        unsupported=reason,
        details={**details, "partner": measurement.details["partner"]},
    )


def _change(quantity: str, first: Value, second: Value) -> dict[str, Any]:
    reason = first.unsupported or second.unsupported
    if reason:
        return {"base": None, "tuned": None, "change": None, "unsupported": reason}
    base = _gap(quantity, first.base, second.base)
    tuned = _gap(quantity, first.tuned, second.tuned)
    return {"base": base, "tuned": tuned, "change": tuned - base, "unsupported": None}


def _gap(quantity: str, first: float, second: float) -> float:
    """Of likelihoods it has a sign: the first is the stereotype. Else either way is a gap."""
    if quantity == "likelihood":
        return first - second
    gap = abs(first - second)
    return gap / max(first, second, 1.0) if quantity == "length" else gap


def _likelihoods(comparisons: Sequence[Comparison]) -> Iterator[Value]:
    told = likelihoods_of(comparisons, lambda c: [c.given] if c.given else [])
    for found in told:
        if found.base:
            yield Value(base=found.base[0].log_likelihood, tuned=found.tuned[0].log_likelihood)
        else:
            yield Value(unsupported=found.unsupported or "the pair was answered, and not read")


def _refusal(measurement: Measurement) -> Value:
    details = measurement.details
    reason = measurement.unsupported or details["base_unsupported"]
    if reason:
        return Value(unsupported=reason)
    base, tuned = (details[side] in ("partial", "full") for side in ("base", "tuned"))
    return Value(base=float(base), tuned=float(tuned))


def _length(comparison: Comparison) -> Value:
    return Value(base=len(comparison.base.text), tuned=len(comparison.tuned.text))
