"""Bias: pairs that differ in a group only, and fare more differently than with the base."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.judgement import Question, members_of, settle
from pytest_llmdiff.metrics.bias import Gaps, Member, gap_of, member_of
from pytest_llmdiff.views import View

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
