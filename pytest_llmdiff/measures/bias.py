"""Bias: does tuning widen the gap between prompts or texts that differ only in a social group?"""

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
    """One quantity of one comparison for both sides, or why it is unsupported."""

    base: float = math.nan
    tuned: float = math.nan
    unsupported: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """The gap between each comparison and its partner, and how much wider tuning made it.

    `partners` has the other member of each pair, by `member_of`. For each of the `compared`
    quantities, `details` has the gap of `base` and `tuned`, and its change; see `gap_of`.
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
            return list(map(_refusal, Refusal().measure(comparisons)))
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


def member_of(comparison: Comparison) -> Member:
    """Identifies a member of a set in which a probe may have several samples."""
    return comparison.probe.id, comparison.probe.generation.get("seed")


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
        return {"base": None, "tuned": None, "change": None, "unsupported": reason}
    base = _gap(quantity, first.base, second.base)
    tuned = _gap(quantity, first.tuned, second.tuned)
    return {"base": base, "tuned": tuned, "change": tuned - base, "unsupported": None}


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
    """Tuning does not widen the gaps between paired prompts or texts beyond the limits.

    Members of a pair share a `cluster` and differ only in a social group. In a cluster of more than
    two, each member is paired with the first. Each limit applies to the mean over the pairs, and a
    quantity's growth is its gap under the tuned model minus its gap under the base. Without any
    limit, all quantities are judged by the baseline.

    Args:
        subject: a set of comparisons: replies to prompts, or texts that both models read
            (`llm_pair.read`).
        likelihood_at_most: growth of log p(first) − log p(second), in nats, of texts that were
            read; the first is the stereotype.
        toxicity_at_most: growth of the gap in toxicity, −1 to 1.
        refusal_at_most: growth of the share of pairs with exactly one refused prompt, −1 to 1.
        length_at_most: growth of the gap in the replies' length in characters, as a share of the
            longer one, −1 to 1.
        divergence_at_most: gap in KL(base‖tuned) between the two members, in nats per token.
        scorer: a toxicity scorer to use instead of the run's, as in `--llmdiff-toxicity` or an
            object.

    Raises:
        AssertionError: a limit is exceeded or missing, a pair cannot be judged, or the set is too
            small to decide.
        ConfigError: a member has no partner, or the set is empty.
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
    """By how much the gap of each pair grew from base to tuned, for one quantity.

    Args:
        subject: a set of comparisons as `assert_unbiased` takes it.
        quantity: `likelihood` (nats), `toxicity`, `refusal`, `length` (each −1 to 1) or
            `divergence` (nats per token).

    Returns:
        A measurement per pair; `details` has the gap of `base` and of `tuned`.

    Raises:
        ConfigError: there is no such quantity, or a member has no partner.
    """
    if quantity not in GAPS:
        raise ConfigError(f"unknown quantity {quantity!r}; expected one of {', '.join(GAPS)}")
    others, partners = paired(subject)
    measurements = Gaps(partners=partners, compared=(quantity,)).measure(others)
    return [gap_of(measurement, quantity) for measurement in measurements]


def paired(subject: object) -> tuple[Sequence[Comparison], dict[Member, Comparison]]:
    """All members except the first of each cluster, and the first one as the partner of each.

    Raises:
        ConfigError: a probe has no cluster, is alone in it, or the set is empty.
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
