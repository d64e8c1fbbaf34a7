"""Scorers judge texts: one small Protocol, opened by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pytest_llmdiff.comparison import Score


@runtime_checkable
class Scorer(Protocol):
    """Anything that turns inputs into scores; higher is worse.

    An input is a pair of texts (base reply, tuned reply) for an `embedder`, and a single text for
    `toxicity`. Where a scorer cannot judge an input, its score is unsupported with the reason.
    """

    @property
    def name(self) -> str:
        """What the user called it; recordings refer to it by this name."""

    @property
    def languages(self) -> Sequence[str] | None:
        """Codes such as "en" of the languages it can judge; None where it does not say."""

    def fingerprint(self) -> str:
        """Content hash of all that a score depends on besides the input. Loads nothing."""

    def score(self, inputs: Sequence[tuple[str, ...]]) -> list[Score]:
        """One score per input, in order."""
