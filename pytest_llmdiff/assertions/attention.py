"""Where the models look: attention that moved, and attention to given words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast, overload

from pytest_llmdiff.assertions.invariance import Pair, paired
from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.attention import AttentionMap
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics.attention import (
    AttentionPairs,
    AttentionShift,
    WordAttention,
    attention_drop,
    run_of,
)
from pytest_llmdiff.views import View

SHIFT = View(support=(0.0, 1.0), dense=True)
PAIRS = View(support=(-1.0, 1.0), dense=True)
SHARE = View(support=(0.0, 1.0))
DROP = View(support=(-1.0, 1.0), of=attention_drop, dense=True)


def assert_attention_shift(
    original: Subject | Iterable[Pair],
    perturbed: Comparison | None = None,
    *,
    at_most: float | None = None,
    pair_at_most: float | None = None,
) -> None:
    """The tuned model looks where the base looks, up to a limit, while both read the base's reply.

    Args:
        original: a comparison, or a set; for `pair_at_most` the comparison of the prompt as it was,
            or a set as `assert_invariant` takes it.
        perturbed: the comparison of a changed form of that prompt, for `pair_at_most`.
        at_most: the largest divergence of base and tuned model, in bits (0 to 1), mean over layers,
            heads and tokens; of a set, its mean.
        pair_at_most: by how much farther (bits, -1 to 1) the tuned model's attention may move than
            the base's where one form of a prompt is exchanged for another.

    Raises:
        AssertionError: the limit is broken, none is given, the two cannot be compared, or the set
            is too small to tell.
        CapabilityError: an engine does not tell where it looks.
        ConfigError: both limits are given, or a prompt of pairs has no original.
    """
    __tracebackhide__ = True
    if perturbed is None and pair_at_most is None:
        settle(cast("Subject", original), AttentionShift(), [Question(view=SHIFT, at_most=at_most)])
        return
    if at_most is not None:
        raise ConfigError(
            "at_most= holds the tuned model against the base, pair_at_most= two forms of a prompt "
            "against each other: they are two checks, each with a call of its own"
        )
    question = Question(view=PAIRS, at_most=pair_at_most)
    settle(paired(original, perturbed), AttentionPairs(), [question])


@overload
def attention_shift(
    original: Comparison, perturbed: Comparison | None = None, *, pairs: bool = False
) -> Measurement: ...
@overload
def attention_shift(
    original: Iterable[Comparison] | Iterable[Pair], *, pairs: bool = False
) -> list[Measurement]: ...
def attention_shift(
    original: Subject | Iterable[Pair],
    perturbed: Comparison | None = None,
    *,
    pairs: bool = False,
) -> Measurement | list[Measurement]:
    """Jensen–Shannon divergence of the two models' attention, in bits, 0 to 1; with `perturbed` or
    `pairs`, by how much farther the tuned model's moves between two forms of a prompt than the
    base's, -1 to 1."""
    if perturbed is None and not pairs:
        return measured(AttentionShift(), cast("Subject", original))
    return measured(AttentionPairs(), paired(original, perturbed))


def assert_attends(
    subject: Subject,
    words: str | Iterable[str],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    drop_at_most: float | None = None,
) -> None:
    """The tuned model looks at given words of the prompt while it reads the base's reply.

    Args:
        subject: a comparison, or a set.
        words: one or several, as they stand in the last user message, whatever their case; of
            several at least one must be there.
        at_least: the smallest share (0 to 1) of its attention to the user's text that is theirs; of
            a set, its mean.
        at_most: the largest share; for words that should not matter.
        drop_at_most: by how much the share may be smaller than the base's.

    Raises:
        AssertionError: a limit is broken, none is given, the two cannot be compared, or the set is
            too small to tell.
        CapabilityError: an engine does not tell where it looks.
        ConfigError: no word is given, or none of them is in a prompt.
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
def attends(
    subject: Comparison | Iterable[Comparison], words: str | Iterable[str]
) -> Measurement | list[Measurement]:
    """The share of given words in the tuned model's attention to the user's text, 0 to 1; `details`
    has the base's and the change."""
    return measured(WordAttention(words=_words(words)), subject)


def attention_map(
    comparison: Comparison, *, layer: int, head: int, original: Comparison | None = None
) -> AttentionMap:
    """The attention of one head of both models, each token of the base's reply a row.

    Layers and heads count from 0. Weighted by what is passed on; a row adds up to 1. With
    `original`, the comparison of another form of the prompt, the rows are those of the base's reply
    to that one: maps of two forms of a prompt can be held against each other then.

    Raises:
        CapabilityError: an engine does not tell where it looks, the models do not read the same
            tokens, or there is no such head.
    """
    read = comparison if original is None else replace(comparison, base=original.base)
    return run_of([comparison]).attention_map(read, layer=layer, head=head)


def _words(words: str | Iterable[str]) -> tuple[str, ...]:
    found = (words,) if isinstance(words, str) else tuple(dict.fromkeys(words))
    if not found or not all(isinstance(word, str) and word.strip() for word in found):
        raise ConfigError(f"words: got {words!r}; expected a word of the prompt, or several")
    return found
