"""Attention: how far it moved, and how much of it falls on given words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.spans import user_text, word_spans
from pytest_llmdiff.errors import ConfigError, ModelError
from pytest_llmdiff.explain.attention.values import (
    AttentionMap,
    AttentionView,
    HeadShift,
    Moves,
    word_shares,
)
from pytest_llmdiff.measures.pairs import Pair, paired
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View


class AttentionRun(Protocol):
    """A run that tells where both models look."""

    def attention(self, comparisons: Sequence[Comparison]) -> list[AttentionView | str]:
        """Where both models look while they read the base's reply, or why that cannot be told.

        Raises:
            CapabilityError: an engine does not tell.
        """

    def attention_moves(self, pairs: Sequence[tuple[Comparison, Comparison]]) -> list[Moves | str]:
        """How far either model's attention moves between two forms of a prompt."""

    def attention_map(self, comparison: Comparison, *, layer: int, head: int) -> AttentionMap:
        """The attention of one head of both models."""


BITS = "bits"


@dataclass(frozen=True, kw_only=True)
class AttentionShift:
    """How far the tuned model looks elsewhere than the base while both read the base's reply:
    Jensen–Shannon divergence (Lin 1991) in bits, 0 to 1, mean over layers, heads and the reply's
    tokens, of attention weighted by what it passes on (Kobayashi et al. 2020, arXiv 2004.10102).

    A value that rounding alone can make is 0; `details` has it as `measured` beside the `noise`,
    the same of bare weights (`plain`), the head that moved most, means by layer, and of both sides
    the entropy (bits) and the share of the first token, the sink.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        return [_shift(found) for found in run_of(comparisons).attention(comparisons)]


@dataclass(frozen=True, kw_only=True)
class AttentionPairs:
    """By how much farther the tuned model's attention moves than the base's, where only a word of
    the prompt is another one: difference of two Jensen–Shannon divergences in bits, -1 to 1.

    Each model reads the base's reply to the original after either prompt; what differs of the
    prompts counts as one token. `details` has both divergences, the head that moved by most more,
    and the `original` prompt.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        pairs = []
        for comparison in comparisons:
            if comparison.original is None:
                raise ConfigError(
                    f"{comparison.probe.id}: the original of this prompt is not known; give both "
                    "comparisons, the original's first"
                )
            pairs.append((comparison.original, comparison))
        moves = run_of(comparisons).attention_moves(pairs)
        return [
            _pair_measurement(original, found)
            for (original, _), found in zip(pairs, moves, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class WordAttention:
    """The share of given words in the tuned model's attention to the user's text, 0 to 1, while it
    reads the base's reply; weighted by what it passes on, the first token left out.

    `details`: the base's share (`base`), the change (`change`, tuned minus base), and which of the
    words are not in the prompt (`missing`).
    """

    words: tuple[str, ...]

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        missing = [self._missing(comparison) for comparison in comparisons]
        found = run_of(comparisons).attention(comparisons)
        return [
            self._measurement(comparison, view, lacking)
            for comparison, view, lacking in zip(comparisons, found, missing, strict=True)
        ]

    @property
    def label(self) -> str:
        return " ".join(f'"{word}"' for word in self.words)

    def _missing(self, comparison: Comparison) -> list[str]:
        """Those of the words that the prompt has not.

        Raises:
            ConfigError: it has none.
        """
        text = user_text(comparison.probe.messages)
        missing = [word for word in self.words if not any(word_spans(text, [word]))]
        if len(missing) == len(self.words):
            raise ConfigError(
                f"{comparison.probe.id}: the user's text {text!r} has no {self.label}; give words "
                "that stand in it"
            )
        return missing

    def _measurement(
        self, comparison: Comparison, view: AttentionView | str, missing: list[str]
    ) -> Measurement:
        found, reason = None, view if isinstance(view, str) else None
        if not isinstance(view, str):
            found = word_shares(view, user_text(comparison.probe.messages), self.words)
            if found is None:
                reason = "the user's text is not in the rendered prompt as it was written"
        details: dict[str, Any] = {"missing": ", ".join(missing)}
        if found is not None:
            details |= {"base": found.base, "change": found.tuned - found.base}
        return Measurement(
            name=f"attention to {self.label}",
            value=math.nan if found is None else found.tuned,
            unit="share of attention",
            unsupported=reason,
            details=details,
        )


def attention_drop(measurement: Measurement) -> Measurement:
    """By how much the share is smaller than the base's, -1 to 1."""
    change = measurement.details.get("change", math.nan)
    name = measurement.name.replace("attention to", "attention drop on", 1)
    return replace(measurement, name=name, value=-change)


def run_of(comparisons: Sequence[Comparison]) -> AttentionRun:
    """Raises ModelError where the comparisons know no run."""
    run: Any = comparisons[0].run
    if run is None:
        raise ModelError(
            "attention needs both models: it is there for comparisons made by a fixture"
        )
    found: AttentionRun = run
    return found


def _shift(found: AttentionView | str) -> Measurement:
    if isinstance(found, str):
        return Measurement(name="attention shift", value=math.nan, unit=BITS, unsupported=found)
    return Measurement(
        name="attention shift",
        value=0.0 if found.shift <= found.noise else found.shift,  # what is no number stays
        unit=BITS,
        details=_details(found),
    )


def _pair_measurement(original: Comparison, found: Moves | str) -> Measurement:
    details: dict[str, Any] = {"original": original.probe.prompt}
    if not isinstance(found, str):
        details |= {"base": found.base, "tuned": found.tuned}
        if found.most is not None:
            details["most_moved"] = _head_text(found.most)
    return Measurement(
        name="attention shift of pairs",
        value=math.nan if isinstance(found, str) else found.tuned - found.base,
        unit=BITS,
        unsupported=found if isinstance(found, str) else None,
        details=details,
    )


def _head_text(found: HeadShift) -> str:
    return f"layer {found.layer}, head {found.head}: {found.value:.3g} bits"


def _details(found: AttentionView) -> Mapping[str, Any]:
    return {
        "measured": found.shift,
        "noise": found.noise,
        "plain": found.plain,
        "most_moved": _head_text(found.most_moved(1)[0]),
        "base_entropy": found.entropy[0],
        "tuned_entropy": found.entropy[1],
        "base_sink": found.sink[0],
        "tuned_sink": found.sink[1],
        "by_layer": dict(zip(map(str, found.layers), found.by_layer, strict=True)),
    }


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
