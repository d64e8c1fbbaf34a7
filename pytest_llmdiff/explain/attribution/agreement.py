"""How far two methods of attribution agree on the order of the words.

Scores that a method cannot tell apart have no order: their differences are rounding, or the luck of
the draw. How far apart two scores must be follows from what the method says of its own accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import StatisticsError, correlation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_llmdiff.explain.attribution.values import MethodAttribution, SideAttribution

TOP = 3  # strongest words, whose overlap between two methods is reported
# Accuracy of a method without sampling, as a share of the strongest score: captum computes in
# single precision, and a word that adds a thousandth of what another adds is not worth ranking.
OF_STRONGEST = 1e-3
# A score is a difference of values such as log-likelihoods, whose sums in single precision are
# accurate to about this share.
OF_VALUE = 1e-5
STANDARD_ERRORS = 2
# Methods whose scores add up to the difference that the words make; what is missing is their error.
ADDING_UP = ("shapley", "kernel-shap", "integrated-gradients")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two methods agree on the order of the words: by their `base` scores, their `tuned`
    scores, or the `change`. Scores that a method cannot tell apart share a rank.

    `rank_correlation` is Spearman's, from -1 to 1; None if a method tells no two words apart.
    `top_overlap` is the share, 0 to 1, of the `top` strongest words that both have; words whose
    score a method cannot tell from 0 are not among them (1 if neither has any).
    """

    methods: tuple[str, str]
    scores: str
    rank_correlation: float | None
    top: int
    top_overlap: float


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Scores by word, and the error of each: two differ if they are further apart than the root of
    their squared errors, plus `rounding`."""

    scores: tuple[float, ...]
    errors: tuple[float, ...]
    rounding: float = 0.0

    def exceeds(self, first: int, second: int) -> bool:
        """Whether the first word's score is clearly above the second's."""
        return self._clear(
            self.scores[first] - self.scores[second], self.errors[first], self.errors[second]
        )

    def strongest(self, count: int) -> set[int]:
        """The words that clearly matter, and that fewer than `count` others clearly exceed."""
        sizes = list(map(abs, self.scores))
        found = set()
        for word, size in enumerate(sizes):
            stronger = (
                self._clear(other - size, self.errors[place], self.errors[word])
                for place, other in enumerate(sizes)
            )
            if self._clear(size, self.errors[word]) and sum(stronger) < count:
                found.add(word)
        return found

    def ranks(self) -> list[float]:
        """For each word the number of words clearly below it, and half of those that it cannot be
        told from. Without errors these are the usual ranks, where equal scores share the mean."""
        words = range(len(self.scores))
        return [
            sum(0.5 + 0.5 * (self.exceeds(word, other) - self.exceeds(other, word))
                for other in words)
            for word in words
        ]  # fmt: skip

    def _clear(self, difference: float, *errors: float) -> bool:
        return difference > self.rounding + math.hypot(*errors)


def agreements(methods: Sequence[MethodAttribution]) -> tuple[Agreement, ...]:
    """For every two methods: by base scores, tuned scores and change."""
    return tuple(
        _agreement(pair, scores)
        for pair in combinations(methods, 2)
        for scores in ("base", "tuned", "change")
    )


def _agreement(pair: tuple[MethodAttribution, MethodAttribution], scores: str) -> Agreement:
    first, second = (_ranked(method, scores) for method in pair)
    top = min(TOP, len(first.scores))
    both = first.strongest(top), second.strongest(top)
    # Words that share the last place make a side longer than `top`, which is no disagreement.
    most = min(top, max(map(len, both)))
    return Agreement(
        methods=(pair[0].method, pair[1].method),
        scores=scores,
        rank_correlation=rank_correlation(first, second),
        top=top,
        top_overlap=min(1.0, len(both[0] & both[1]) / most) if most else 1.0,
    )


def rank_correlation(first: Ranked, second: Ranked) -> float | None:
    """Spearman's: Pearson's correlation of the ranks. None if it is undefined: fewer than two
    words, or all words of one side share a rank."""
    try:
        return correlation(first.ranks(), second.ranks())
    except StatisticsError:
        return None


def _ranked(method: MethodAttribution, scores: str) -> Ranked:
    if scores != "change":
        return _of_side(method.method, method.base if scores == "base" else method.tuned)
    base, tuned = (_of_side(method.method, side) for side in (method.base, method.tuned))
    return Ranked(
        scores=method.change,
        errors=tuple(map(math.hypot, base.errors, tuned.errors)),
        rounding=base.rounding + tuned.rounding,
    )


def _of_side(method: str, side: SideAttribution) -> Ranked:
    """The scores with the accuracy that the method has by its own account."""
    count = len(side.scores)
    missing = 0.0
    if method in ADDING_UP:
        missing = abs(math.fsum(side.scores) - (side.whole - side.without)) / count
    errors = side.errors or (0.0,) * count
    strongest = max(map(abs, side.scores), default=0.0)
    value = max(abs(side.whole), abs(side.without))
    return Ranked(
        scores=side.scores,
        errors=tuple(STANDARD_ERRORS * error for error in errors),
        rounding=max(OF_STRONGEST * strongest, OF_VALUE * value, missing),
    )
