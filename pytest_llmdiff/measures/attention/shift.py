"""Attention shift: how far the tuned model looks elsewhere than the base."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.explain.attention import views
from pytest_llmdiff.explain.attention.values import AttentionView, HeadShift, Moves
from pytest_llmdiff.measures.attention.maps import run_of, views_of
from pytest_llmdiff.measures.pairs import Pair, PairSubject, original_of, paired
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

BITS = "bits"


@dataclass(frozen=True, kw_only=True)
class AttentionShift:
    """Jensen–Shannon divergence (Lin 1991) of the two models' attention while both read the base
    reply, in bits, 0 to 1: the mean over layers, heads and the reply's tokens.

    Weights are multiplied by the norm of what they pass on (Kobayashi et al. 2020, arXiv
    2004.10102). A value that rounding alone can produce counts as 0; `details` has it as
    `measured`, beside the `noise`. `details` also has the divergence of the bare weights (`plain`),
    the head that moved most (None if it is rounding), the means by layer, and for each side the
    entropy (bits) and the share of the first token, the attention sink.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        return [shift_measurement(found) for found in views_of(comparisons)]


@dataclass(frozen=True, kw_only=True)
class AttentionPairs:
    """How much farther the tuned model's attention moves than the base's between two forms of a
    prompt: the difference of two Jensen–Shannon divergences in bits, -1 to 1.

    Each model reads the base reply to the original prompt, after either form of it. The part in
    which the prompts differ counts as one token. `details` has both divergences, the head with the
    largest difference, and the `original` prompt.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        pairs = [(original_of(comparison), comparison) for comparison in comparisons]
        moves = views.attention_moves(run_of(comparisons).generation, pairs)
        return [
            _pair_measurement(original, found)
            for (original, _), found in zip(pairs, moves, strict=True)
        ]


def shift_measurement(found: AttentionView | str) -> Measurement:
    if isinstance(found, str):
        return Measurement(name="attention shift", value=math.nan, unit=BITS, unsupported=found)
    return Measurement(
        name="attention shift",
        value=0.0 if found.shift <= found.noise else found.shift,  # NaN stays NaN
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


def _head_text(shift: HeadShift) -> str:
    return f"layer {shift.layer}, head {shift.head}: {shift.value:.3g} bits"


def _details(view: AttentionView) -> Mapping[str, Any]:
    moved = view.shift > view.noise  # else the order of the heads is rounding
    return {
        "measured": view.shift,
        "noise": view.noise,
        "plain": view.plain,
        "most_moved": _head_text(view.most_moved()[0]) if moved else None,
        "base_entropy": view.entropy[0],
        "tuned_entropy": view.entropy[1],
        "base_sink": view.sink[0],
        "tuned_sink": view.sink[1],
        "by_layer": dict(zip(map(str, view.layers), view.by_layer, strict=True)),
    }


SHIFT = View(support=(0.0, 1.0), dense=True)
PAIRS = View(support=(-1.0, 1.0), dense=True)


def assert_attention_shift(
    original: PairSubject,
    perturbed: Comparison | None = None,
    *,
    at_most: float | None = None,
    pair_at_most: float | None = None,
) -> None:
    """The tuned model looks where the base looks, up to a limit, while both read the base reply.

    See `AttentionShift` and `AttentionPairs` for the formulas and their sources.

    Args:
        original: a comparison, or a set; for `pair_at_most` the comparison of the original prompt,
            or a set of pairs as `assert_invariant` takes it.
        perturbed: for `pair_at_most`, the comparison of a changed form of that prompt.
        at_most: the largest divergence between base and tuned model, in bits (0 to 1), mean over
            layers, heads and tokens; for a set, its mean.
        pair_at_most: by how much farther (bits, -1 to 1) the tuned model's attention may move than
            the base's when one form of a prompt replaces the other.

    Raises:
        AssertionError: the limit is exceeded or missing, the models' attention cannot be compared,
            or the set is too small to decide.
        CapabilityError: an engine does not report attention.
        ConfigError: both limits are given, or a prompt of pairs has no original.
        ModelError: the comparisons were made by hand.
    """
    __tracebackhide__ = True
    if perturbed is None and pair_at_most is None:
        settle(cast("Subject", original), AttentionShift(), [Question(view=SHIFT, at_most=at_most)])
        return
    if at_most is not None:
        raise ConfigError(
            "at_most= compares the tuned model with the base, pair_at_most= two forms of a prompt: "
            "give one of them per call"
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
    original: PairSubject,
    perturbed: Comparison | None = None,
    *,
    pairs: bool = False,
) -> Measurement | list[Measurement]:
    """Jensen–Shannon divergence of the two models' attention, in bits, 0 to 1.

    With `perturbed` or `pairs`: how much farther the tuned model's attention moves between two
    forms of a prompt than the base's, in bits, -1 to 1. The subjects are those of
    `assert_attention_shift`.
    """
    if perturbed is None and not pairs:
        return measured(AttentionShift(), cast("Subject", original))
    return measured(AttentionPairs(), paired(original, perturbed))
