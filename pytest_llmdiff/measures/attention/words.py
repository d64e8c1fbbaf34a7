"""Attention to words: how much of the tuned model's attention falls on given words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.spans import user_text, word_spans
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attention.values import AttentionView, word_shares
from pytest_llmdiff.measures.attention.maps import views_of
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View


@dataclass(frozen=True, kw_only=True)
class WordAttention:
    """The share (0 to 1) of the tuned model's attention to the user's text that falls on given
    words while it reads the base reply.

    Weights are multiplied by the norm of what they pass on (Kobayashi et al. 2020, arXiv
    2004.10102); the first token, an attention sink, is left out. `details` has the base's share
    (`base`), the `change` (tuned minus base), and the words that the prompt does not have
    (`missing`).
    """

    words: tuple[str, ...]

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        missing = [self._missing(comparison) for comparison in comparisons]
        found = views_of(comparisons)
        return [
            self._measurement(comparison, view, lacking)
            for comparison, view, lacking in zip(comparisons, found, missing, strict=True)
        ]

    @property
    def label(self) -> str:
        return " ".join(f'"{word}"' for word in self.words)

    def _missing(self, comparison: Comparison) -> list[str]:
        """The words that the prompt does not have.

        Raises:
            ConfigError: it has none of them.
        """
        text = user_text(comparison.probe.messages)
        missing = [word for word in self.words if not any(word_spans(text, [word]))]
        if len(missing) == len(self.words):
            raise ConfigError(
                f"{comparison.probe.id}: the user's text {text!r} does not contain {self.label}; "
                "give words that it contains"
            )
        return missing

    def _measurement(
        self, comparison: Comparison, view: AttentionView | str, missing: list[str]
    ) -> Measurement:
        share, reason = None, view if isinstance(view, str) else None
        if not isinstance(view, str):
            share = word_shares(view, user_text(comparison.probe.messages), self.words)
            if share is None:
                reason = "the chat template changes the user's text, so its tokens are unknown"
        details: dict[str, Any] = {"missing": ", ".join(missing)}
        if share is not None:
            details |= {"base": share.base, "change": share.tuned - share.base}
        return Measurement(
            name=f"attention to {self.label}",
            value=math.nan if share is None else share.tuned,
            unit="share of attention",
            unsupported=reason,
            details=details,
        )


def attention_drop(measurement: Measurement) -> Measurement:
    """By how much the share is smaller than the base's, -1 to 1."""
    change = measurement.details.get("change", math.nan)
    name = measurement.name.replace("attention to", "attention drop on", 1)
    return replace(measurement, name=name, value=-change)


SHARE = View(support=(0.0, 1.0))
DROP = View(support=(-1.0, 1.0), of=attention_drop, dense=True)


def assert_attends(
    subject: Subject,
    words: str | Iterable[str],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    drop_at_most: float | None = None,
) -> None:
    """The tuned model looks at given words of the prompt while it reads the base reply.

    See `WordAttention` for the formula and its source.

    Args:
        subject: a comparison, or a set of them.
        words: a word or several, as they stand in the last user message, ignoring case. The message
            must contain at least one of them.
        at_least: the smallest share (0 to 1) of the attention to the user's text that the words
            must get; for a set, its mean.
        at_most: the largest share, for words that should not matter.
        drop_at_most: by how much (-1 to 1) the share may be smaller than the base's.

    Raises:
        AssertionError: a limit is broken or missing, the models' attention cannot be compared, or
            the set is too small to decide.
        CapabilityError: an engine does not report attention.
        ConfigError: no word is given, or a prompt contains none of them.
        ModelError: the comparisons were made by hand.
    """
    __tracebackhide__ = True
    questions = []
    if at_least is not None or at_most is not None:
        questions.append(Question(view=SHARE, at_least=at_least, at_most=at_most))
    if drop_at_most is not None or not questions:
        questions.append(Question(view=DROP, at_most=drop_at_most))
    settle(subject, WordAttention(words=_words(words)), questions)


@overload
def attends(subject: Comparison, words: str | Iterable[str]) -> Measurement: ...
@overload
def attends(subject: Iterable[Comparison], words: str | Iterable[str]) -> list[Measurement]: ...
def attends(subject: Subject, words: str | Iterable[str]) -> Measurement | list[Measurement]:
    """The share (0 to 1) of given words in the tuned model's attention to the user's text.

    `details` has the base's share and the change. The arguments are those of `assert_attends`.
    """
    return measured(WordAttention(words=_words(words)), subject)


def _words(words: str | Iterable[str]) -> tuple[str, ...]:
    given = (words,) if isinstance(words, str) else tuple(dict.fromkeys(words))
    if not given or not all(isinstance(word, str) and word.strip() for word in given):
        raise ConfigError(f"words: got {words!r}; expected a word of the prompt, or several")
    return given
