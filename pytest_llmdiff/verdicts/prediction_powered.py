"""Rates that a fallible judge counted, corrected by replies that people labelled as well.

Prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633): the rate by people is the
judge's rate over all replies, plus the mean of people − judge over the labelled ones. The labelled
replies are a random sample of such replies. Nothing is assumed of the judge, which may err more
often on one side, or be no better than chance: the interval is then as wide as from the labels
alone.

The bounds of the two terms are joined by the square-add method (Zou and Donner 2008): each is at
its own one-sided 95 % bound, Clopper and Pearson's for the rate and Tango's for the paired
difference. docs/judges.md has the measured error rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.bounds.intervals import Bounds
from pytest_llmdiff.verdicts.estimates import Estimate, change_estimate, rate_estimate

CORRECTED = "corrected by {n} labels (prediction-powered inference)"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Replies that both people and the judge have judged, in the same order.

    `clusters` names the question of each, where several replies share one.
    """

    judge: Sequence[bool]
    people: Sequence[bool]
    clusters: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if len(self.judge) != len(self.people) or not self.judge:
            raise LLMDiffError(
                f"{len(self.judge)} judgements for {len(self.people)} labels: as many are needed, "
                "and at least one"
            )

    def __len__(self) -> int:
        return len(self.judge)

    @cached_property
    def rectifier(self) -> Estimate:
        """By how much the rate by people is above the judge's, on the same replies."""
        return change_estimate(self.judge, self.people, self.clusters)

    @property
    def sensitivity(self) -> Estimate:
        """The share of what people call right that the judge does too."""
        return self._share(wanted=True)

    @property
    def specificity(self) -> Estimate:
        """The share of what people call wrong that the judge does too."""
        return self._share(wanted=False)

    def _share(self, *, wanted: bool) -> Estimate:
        kept = [n for n, label in enumerate(self.people) if label is wanted]
        clusters = self.clusters and [self.clusters[n] for n in kept]
        return rate_estimate([self.judge[n] is wanted for n in kept], clusters)

    @property
    def kappa(self) -> tuple[float, Bounds]:
        """Cohen's kappa (1960) with its 90 % interval by the large-sample variance of Fleiss,
        Cohen and Everitt (1969); NaN where one of the two knows one answer only."""
        n = len(self)
        both = list(zip(self.judge, self.people, strict=True))
        table = [[both.count((j, p)) / n for p in (False, True)] for j in (False, True)]
        rows = [sum(row) for row in table]
        columns = [table[0][k] + table[1][k] for k in (0, 1)]
        agreed = table[0][0] + table[1][1]
        chance = sum(r * c for r, c in zip(rows, columns, strict=True))
        if chance == 1:
            return math.nan, (-1.0, 1.0)
        kappa = (agreed - chance) / (1 - chance)
        left = 1 - kappa
        first = sum(table[k][k] * (1 - (rows[k] + columns[k]) * left) ** 2 for k in (0, 1))
        second = left**2 * sum(
            table[i][k] * (columns[i] + rows[k]) ** 2 for i, k in ((0, 1), (1, 0))
        )
        third = (kappa - chance * left) ** 2
        spread = math.sqrt(max(0.0, first + second - third) / n) / (1 - chance)
        reach = 1.6449 * spread  # the normal quantile of 95 %
        return kappa, (max(-1.0, kappa - reach), min(1.0, kappa + reach))


def corrected_rate(counted: Estimate, labels: Labels) -> Estimate:
    """The rate by people, from the judge's rate over all replies."""
    return _joined(counted, len(labels), (0.0, 1.0), add=labels.rectifier)


def corrected_change(counted: Estimate, base: Labels, tuned: Labels) -> Estimate:
    """The change of the rate by people, from the judge's paired change over all replies.

    A judge may err in another way on either model's replies, so that both have labels of their own.
    """
    return _joined(
        counted,
        len(base) + len(tuned),
        (-1.0, 1.0),
        add=tuned.rectifier,
        subtract=base.rectifier,
    )


def _joined(
    counted: Estimate,
    labelled: int,
    support: Bounds,
    *,
    add: Estimate,
    subtract: Estimate | None = None,
) -> Estimate:
    if math.isnan(counted.value):
        return counted
    terms = [(add.value, add.low, add.high)]
    if subtract is not None:
        terms.append((-subtract.value, -subtract.high, -subtract.low))
    correction = sum(term[0] for term in terms)
    value = counted.value + correction

    def bounds(own: Bounds) -> Bounds:
        sides = [(counted.value, *own), *terms]
        low = value - math.hypot(*(middle - below for middle, below, _ in sides))
        high = value + math.hypot(*(above - middle for middle, _, above in sides))
        return max(support[0], low), min(support[1], high)

    plain = counted.resized
    low, high = bounds((counted.low, counted.high))
    return replace(
        counted,
        value=min(support[1], max(support[0], value)),
        over_probes=min(max(counted.over_probes + correction, support[0]), support[1]),
        low=low,
        high=high,
        method=f"{counted.method}, {CORRECTED.format(n=labelled)}",
        # More probes narrow the judge's rate, not what the labels show of the judge.
        resized=None if plain is None else lambda times: bounds(plain(times)),
    )
