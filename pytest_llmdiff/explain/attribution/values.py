"""Scores of the words of a prompt by several methods, and how far these agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmdiff.data.notebook import Displayed
from pytest_llmdiff.data.text.words import Word
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attribution.agreement import Agreement, agreements
from pytest_llmdiff.explain.attribution.coalitions import LEAVE_ONE_OUT, SAMPLED

GRADIENTS = ("integrated-gradients", "input-x-gradient")
METHODS = (LEAVE_ONE_OUT, *SAMPLED, *GRADIENTS)
MEASURED = ("tuned", "base", "toxicity")  # or a callable

Measure = Callable[[str, str], float]  # of a prompt and the reply to it


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The arguments of `pytest_llmdiff.attribution`."""

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
            raise ConfigError(f"methods of attribution: {given}; known: {', '.join(METHODS)}")
        if not callable(self.of) and self.of not in MEASURED:
            raise ConfigError(
                f"attribution of={self.of!r}: expected {', '.join(map(repr, MEASURED))}, or a "
                "callable of a prompt and a reply"
            )
        slopes = [method for method in self.methods if method in GRADIENTS]
        if slopes and self.of not in ("tuned", "base"):
            raise ConfigError(
                f"{slopes[0]} needs the likelihood of a reply: of='tuned' or of='base'"
            )
        for name, least in (("most_words", 1), ("samples", 4), ("steps", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name}={value} is too few: at least {least}")


@dataclass(frozen=True, kw_only=True)
class SideAttribution:
    """The score of each word under one model: how much it adds to the measured value.

    `whole` is the value with all words, `without` the value with none, left out as the method does
    it. `errors` are the standard errors of sampling, if the method samples.
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
        """Tuned − base, by word: which words make the models differ."""
        pairs = zip(self.tuned.scores, self.base.scores, strict=True)
        return tuple(tuned - base for tuned, base in pairs)


@dataclass(frozen=True, kw_only=True)
class Attribution(Displayed):
    """How much each word of the last user message matters.

    `of` is what was measured, in `unit`. `left_out` says whether words were removed, or what
    replaced them. `segmented_by` names the segmenter of words without spaces, if there are any.
    """

    text: str
    words: tuple[Word, ...]
    of: str
    unit: str
    left_out: str
    methods: tuple[MethodAttribution, ...]
    segmented_by: str | None = None

    def by(self, method: str) -> MethodAttribution:
        """The scores of a method. Raises KeyError if it was not asked for."""
        return {each.method: each for each in self.methods}[method]

    @property
    def agreement(self) -> tuple[Agreement, ...]:
        """For every two methods: by base scores, tuned scores and change. Agreement does not prove
        that they are right: methods can share a blind spot."""
        return agreements(self.methods)
