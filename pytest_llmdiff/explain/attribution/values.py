"""What the words of a prompt count for, by several methods, and how far these agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import StatisticsError, correlation

from pytest_llmdiff.data.text.words import Word
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attribution.coalitions import LEAVE_ONE_OUT, SAMPLED

GRADIENTS = ("integrated-gradients", "input-x-gradient")
METHODS = (LEAVE_ONE_OUT, *SAMPLED, *GRADIENTS)
MEASURED = ("tuned", "base", "toxicity")  # besides what a callable tells

TOP = 3  # words that count for most, whose overlap between two methods is told


Measure = Callable[[str, str], float]  # of a prompt and the reply to it


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is asked for: see `pytest_llmdiff.attribution`."""

    methods: tuple[str, ...] = (LEAVE_ONE_OUT,)
    of: str | Measure = "tuned"
    instead: str = ""
    most_words: int | None = None
    samples: int = 200
    steps: int = 50

    def __post_init__(self) -> None:
        unknown = [repr(method) for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            given = ", ".join(unknown) or "none"
            raise ConfigError(f"methods of attribution: {given}; there are {', '.join(METHODS)}")
        if not callable(self.of) and self.of not in MEASURED:
            raise ConfigError(
                f"attributions of {self.of!r}: expected {', '.join(map(repr, MEASURED))}, or a "
                "callable of a prompt and a reply"
            )
        slopes = [method for method in self.methods if method in GRADIENTS]
        if slopes and self.of not in ("tuned", "base"):
            raise ConfigError(
                f"{slopes[0]} is of the likelihood of a reply: of='tuned' or of='base'"
            )
        for name, least in (("most_words", 1), ("samples", 4), ("steps", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name}={value} is too few: at least {least}")


@dataclass(frozen=True, kw_only=True)
class SideAttribution:
    """What each word counts for under one model: how much more the measured value is with it.

    `whole` is the value with all words, `without` that with none, each left out as the method does
    it. `errors` are the standard errors of sampling, where the method tells them.
    """

    scores: tuple[float, ...]
    whole: float
    without: float
    errors: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class MethodAttribution:
    """The scores of one method under both models."""

    method: str
    base: SideAttribution
    tuned: SideAttribution

    @property
    def change(self) -> tuple[float, ...]:
        """Tuned − base, by word: what in the prompt the difference of the models goes back to."""
        pairs = zip(self.tuned.scores, self.base.scores, strict=True)
        return tuple(tuned - base for tuned, base in pairs)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two methods order the words alike: of the `base`, the `tuned` scores or their
    `change`.

    `rank_correlation` is Spearman's, from -1 to 1; None where a method gives all words one score.
    `top_overlap` is the share, 0 to 1, of the `top` strongest words that they have in common.
    """

    methods: tuple[str, str]
    scores: str
    rank_correlation: float | None
    top: int
    top_overlap: float


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What the words of the last user message count for.

    `of` is what was measured, in `unit`. `left_out` says how words were: removed, or replaced by
    what. `segmented_by` is what told words that no spaces part, where there are any.
    """

    text: str
    words: tuple[Word, ...]
    of: str
    unit: str
    left_out: str
    methods: tuple[MethodAttribution, ...]
    segmented_by: str | None = None

    def by(self, method: str) -> MethodAttribution:
        """The scores of a method. Raises KeyError for one that was not asked for."""
        found = {each.method: each for each in self.methods}
        return found[method]

    @property
    def agreement(self) -> tuple[Agreement, ...]:
        """Of every two methods, for base, tuned and change. A report, and no proof that they are
        right: methods that share a blind spot agree as well."""
        return tuple(
            _agreement(pair, scores)
            for pair in combinations(self.methods, 2)
            for scores in ("base", "tuned", "change")
        )


def _agreement(pair: tuple[MethodAttribution, MethodAttribution], scores: str) -> Agreement:
    first, second = (_scores(method, scores) for method in pair)
    top = min(TOP, len(first))
    common = set(_strongest(first, top)) & set(_strongest(second, top))
    return Agreement(
        methods=(pair[0].method, pair[1].method),
        scores=scores,
        rank_correlation=rank_correlation(first, second),
        top=top,
        top_overlap=len(common) / top,
    )


def _scores(method: MethodAttribution, scores: str) -> tuple[float, ...]:
    if scores == "change":
        return method.change
    return (method.base if scores == "base" else method.tuned).scores


def _strongest(scores: Sequence[float], count: int) -> list[int]:
    """Places of the scores furthest from 0, of equal ones the first."""
    return sorted(range(len(scores)), key=lambda place: (-abs(scores[place]), place))[:count]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: Pearson's of the ranks, equal values sharing theirs. None where it is
    undefined: for fewer than two values, or all of one side equal."""
    try:
        return correlation(_ranks(first), _ranks(second))
    except StatisticsError:
        return None


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [
        (ordered.index(value) + len(ordered) - 1 - ordered[::-1].index(value)) / 2
        for value in values
    ]
