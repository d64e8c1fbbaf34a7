"""Scorers judge texts. `Scorer` is the extension point; options name scorers by a SPEC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pytest_llmdiff.data.comparison import Score

ENGLISH = ("en",)  # the languages of scorers that know no other


@runtime_checkable
class Scorer(Protocol):
    """Anything that turns inputs into scores; higher is worse.

    An input is a pair of texts (base reply, tuned reply) for an `embedder`, and a single text for
    `toxicity`. If a scorer cannot judge an input, the score is unsupported, with the reason.
    """

    @property
    def name(self) -> str:
        """The SPEC that the user gave; recordings refer to the scorer by this name."""

    @property
    def languages(self) -> Sequence[str] | None:
        """Codes such as "en" of the languages that it can judge; None where they are unknown."""

    def fingerprint(self) -> str:
        """Content hash of all that a score depends on besides the input. Loads no weights."""

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        """One score per input, in order."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """The vector of one text, of any length but zero, or why there is none."""

    vector: Sequence[float] | None = None
    unsupported: str | None = None


@runtime_checkable
class Embedder(Scorer, Protocol):
    """A scorer that can also return the vectors that it compares."""

    def embed(self, texts: Sequence[str], *, cut: bool = False) -> list[Embedding]:
        """One embedding per text, in order.

        With `cut`, a text that is too long for the encoder is embedded by its beginning: enough to
        search for similar texts, too little to judge one.
        """
