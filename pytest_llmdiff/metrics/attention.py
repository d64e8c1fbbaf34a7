"""Attention: how far it moved, and how much of it falls on given words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmdiff.attention import (
    AttentionView,
    HeadShift,
    Moves,
    user_text,
    word_shares,
    word_spans,
)
from pytest_llmdiff.comparison import Comparison, Measurement, Run
from pytest_llmdiff.errors import ConfigError, ModelError

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


def run_of(comparisons: Sequence[Comparison]) -> Run:
    """Raises ModelError where the comparisons know no run."""
    run = comparisons[0].run
    if run is None:
        raise ModelError(
            "attention needs both models: it is there for comparisons made by a fixture"
        )
    return run


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
