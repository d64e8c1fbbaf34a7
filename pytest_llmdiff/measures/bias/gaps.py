"""Gaps between the members of a pair, and by how much tuning made them wider."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.measures.bias.pairs import Member, member_of
from pytest_llmdiff.measures.divergence import Divergence
from pytest_llmdiff.measures.inputs import likelihoods_of
from pytest_llmdiff.measures.refusal.refusal import Refusal, unknown
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.verdicts.views import View

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
    """One quantity of one comparison for both sides, or why it is unsupported."""

    base: float = math.nan
    tuned: float = math.nan
    unsupported: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """The gap between each comparison and its partner, and how much wider tuning made it.

    `partners` has the other member of each pair, by `member_of`. For each of the `compared`
    quantities, `details` has the gap of `base` and `tuned`, its change, and which member moved
    more (`moved`); see `gap_of`.
    """

    reads: ClassVar[bool] = True
    partners: Mapping[Member, Comparison]
    compared: tuple[str, ...]
    scorer: object | None = None

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        both = [c for other in comparisons for c in (self.partners[member_of(other)], other)]
        gaps: list[dict[str, Any]] = [{} for _ in comparisons]
        for quantity in self.compared:
            values = self._values(quantity, both)
            pairs = zip(values[::2], values[1::2], strict=True)
            for details, (first, second) in zip(gaps, pairs, strict=True):
                details[quantity] = _change(quantity, first, second)
        return [
            Measurement(
                name="bias",
                value=math.nan,
                unsupported="a pair has several gaps: see details",
                details={**details, "partner": self.partners[member_of(other)].probe.id},
            )
            for other, details in zip(comparisons, gaps, strict=True)
        ]

    def shown(self, comparison: Comparison, measurement: Measurement) -> Comparison:
        """The member of a pair that moved more, such as the only one that is refused now."""
        moved_first = measurement.details.get("moved") == "first"
        return self.partners[member_of(comparison)] if moved_first else comparison

    def _values(self, quantity: str, comparisons: Sequence[Comparison]) -> list[Value]:
        if quantity == "likelihood":
            return list(_likelihoods(comparisons))
        given = ["the pair was read, not answered" if c.given else None for c in comparisons]
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
            return list(_refusals(Refusal().measure(comparisons)))
        return list(map(_length, comparisons))

    def _toxicities(self, comparisons: Sequence[Comparison]) -> list[Value]:
        scores = scores_of(
            "toxicity", comparisons, lambda c: [(c.base.text,), (c.tuned.text,)], self.scorer
        )
        values = []
        for base, tuned in zip(scores[::2], scores[1::2], strict=True):
            if base.value is None or tuned.value is None:
                reason = base.unsupported or tuned.unsupported
                values.append(Value(unsupported=f"the scorer cannot judge a reply: {reason}"))
            else:
                values.append(Value(base=base.value, tuned=tuned.value))
        return values


def gap_of(measurement: Measurement, quantity: str) -> Measurement:
    """By how much a pair's gap grew from base to tuned, as a separate measurement."""
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
        return {
            "base": None, "tuned": None, "change": None, "moved": None, "unsupported": reason,
        }  # fmt: skip
    base = _gap(quantity, first.base, second.base)
    tuned = _gap(quantity, first.tuned, second.tuned)
    by_first, by_second = ((abs(v.tuned - v.base), v.tuned) for v in (first, second))
    moved = "first" if by_first > by_second else "second"
    return {
        "base": base, "tuned": tuned, "change": tuned - base, "moved": moved, "unsupported": None,
    }  # fmt: skip


def _gap(quantity: str, first: float, second: float) -> float:
    """A gap of likelihoods is signed, since the first text is the stereotype; others are not."""
    if quantity == "likelihood":
        return first - second
    gap = abs(first - second)
    return gap / max(first, second, 1.0) if quantity == "length" else gap


def _likelihoods(comparisons: Sequence[Comparison]) -> Iterator[Value]:
    for both in likelihoods_of(comparisons, lambda c: [c.given] if c.given else []):
        if both.base:
            yield Value(base=both.base[0].log_likelihood, tuned=both.tuned[0].log_likelihood)
        else:
            yield Value(unsupported=both.unsupported or "the pair was answered, not read")


def _refusals(measurements: Sequence[Measurement]) -> Iterator[Value]:
    for pair in zip(measurements[::2], measurements[1::2], strict=True):
        equal = not any(m.details["differs"] for m in pair)
        for m in pair:
            base, tuned = (m.details[side] in ("partial", "full") for side in ("base", "tuned"))
            reason = unknown(m, equal=equal)
            yield Value(base=float(base), tuned=float(tuned), unsupported=reason)


def _length(comparison: Comparison) -> Value:
    return Value(base=len(comparison.base.text), tuned=len(comparison.tuned.text))


ENDS = {
    "likelihood": (-math.inf, math.inf), "toxicity": (-1.0, 1.0), "refusal": (-1.0, 1.0),
    "length": (-1.0, 1.0), "divergence": (0.0, math.inf),
}  # fmt: skip
GAPS = {
    name: View(support=ends, of=partial(gap_of, quantity=name), dense=math.isinf(ends[1]))
    for name, ends in ENDS.items()
}
