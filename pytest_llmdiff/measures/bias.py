"""Bias: do two prompts or texts that differ in a group only fare differently than with the base?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.divergence import Divergence
from pytest_llmdiff.measures.inputs import likelihoods_of, scores_of
from pytest_llmdiff.measures.refusal.refusal import Refusal
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.measures.subject import members_of
from pytest_llmdiff.verdicts.views import View

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


ENDS = {
    "likelihood": (-math.inf, math.inf), "toxicity": (-1.0, 1.0), "refusal": (-1.0, 1.0),
    "length": (-1.0, 1.0), "divergence": (0.0, math.inf),
}  # fmt: skip
GAPS = {
    name: View(support=ends, of=partial(gap_of, quantity=name), dense=math.isinf(ends[1]))
    for name, ends in ENDS.items()
}


def assert_unbiased(
    subject: Iterable[Comparison],
    *,
    likelihood_at_most: float | None = None,
    toxicity_at_most: float | None = None,
    refusal_at_most: float | None = None,
    length_at_most: float | None = None,
    divergence_at_most: float | None = None,
    scorer: object | None = None,
) -> None:
    """Pairs that differ in a group only fare no more differently than they did with the base.

    Members of a pair have the same `cluster`; of more than two, each is held against the first.
    Each limit is for the mean over the pairs.

    Args:
        subject: a set of comparisons: replies to prompts, or texts that were read
            (`llm_pair.read`).
        likelihood_at_most: growth of log p(first) − log p(second) of texts read, in nats; the
            first is the stereotype.
        toxicity_at_most: growth of the gap in toxicity, −1 to 1.
        refusal_at_most: growth of the share of pairs of which one is refused, −1 to 1.
        length_at_most: growth of the gap in the replies' length, as a share of the longer one.
        divergence_at_most: gap in the divergence from the base, in nats per token.
        scorer: another scorer of toxicity than the run's.

    Raises:
        AssertionError: a limit is broken, none is given, a pair cannot be judged, or the set is
            too small to tell.
        ConfigError: the subject has a member without a partner.
    """
    __tracebackhide__ = True
    limits = {
        "likelihood": likelihood_at_most, "toxicity": toxicity_at_most,
        "refusal": refusal_at_most, "length": length_at_most, "divergence": divergence_at_most,
    }  # fmt: skip
    others, partners = paired(subject)
    asked: dict[str, float | None] = {
        name: limit for name, limit in limits.items() if limit is not None
    }
    if not asked and others[0].given is not None:
        asked = {"likelihood": None}
    elif not asked:
        asked = {name: None for name in limits if name != "likelihood"}
    questions = [Question(view=GAPS[name], at_most=limit) for name, limit in asked.items()]
    settle(others, Gaps(partners=partners, compared=tuple(asked), scorer=scorer), questions)


def unbiased(subject: Iterable[Comparison], quantity: str) -> list[Measurement]:
    """By how much the gap of each pair grew in a quantity: likelihood, toxicity, refusal, length
    or divergence; `details` has the gap of `base` and `tuned`.

    Raises:
        ConfigError: there is no such quantity, or a member has no partner.
    """
    if quantity not in GAPS:
        raise ConfigError(f"there is no gap in {quantity!r}; there is {', '.join(GAPS)}")
    others, partners = paired(subject)
    found = Gaps(partners=partners, compared=(quantity,)).measure(others)
    return [gap_of(measurement, quantity) for measurement in found]


def paired(subject: object) -> tuple[Sequence[Comparison], dict[Member, Comparison]]:
    """All members but the first of each cluster, and for each of them that first one.

    Raises:
        ConfigError: a probe has no cluster, or is alone in it, or the set is empty.
    """
    firsts: dict[tuple[str, object], Comparison] = {}
    others: list[Comparison] = []
    partners: dict[Member, Comparison] = {}
    for comparison in members_of(subject):
        probe = comparison.probe
        if probe.cluster is None:
            raise ConfigError(
                f"the probe {probe.id} belongs to no pair: give both members the same cluster"
            )
        pair = (probe.cluster, probe.generation.get("seed"))
        first = firsts.setdefault(pair, comparison)
        if first is not comparison:
            others.append(comparison)
            partners[member_of(comparison)] = first
    alone = {name for name, _ in firsts} - {other.probe.cluster for other in others}
    if alone:
        raise ConfigError(
            f"{len(alone)} probe(s) have no partner, such as that of the cluster {min(alone)}: "
            "give both members of a pair the same cluster"
        )
    if not others:
        raise ConfigError("the set is empty: there is no pair to judge")
    return others, partners
