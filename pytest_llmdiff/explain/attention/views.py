"""Where the models of a pair look: computed once, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.spans import user_text
from pytest_llmdiff.engines.pair.first_differences import Ending, about, asked
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.explain.attention.values import (
    AttentionMap,
    AttentionShown,
    AttentionView,
    Moves,
    moved_words,
    moves_from_json,
    view_from_json,
)
from pytest_llmdiff.generation.generator import ReplyGenerator

PART = 32  # comparisons whose attention is kept together: a killed run loses no more
SHOWN = 5  # heads, and words, that moved most


def attention_views(
    generation: ReplyGenerator,
    comparisons: Sequence[Comparison],
    around: Callable[[], Sequence[Comparison]] = list,
) -> list[AttentionView | str]:
    """Of each comparison, or why there is none; those `around` are computed as well where the two
    models take turns in memory.

    Raises:
        CapabilityError: an engine does not tell where it looks.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_views

        return attention_views(generation.pair, list(map(_asked, todo)))

    found: list[AttentionView | str] = []
    for part in _parts(generation, comparisons):
        values = generation.memo.get_all(
            "attention",
            "base",
            [_about(c) for c in part],
            compute,
            around=lambda: [] if generation.pair.fits else [_about(c) for c in around()],
        )
        found += [value.get("unsupported") or view_from_json(value) for value in values]
    return found


def attention_moves(
    generation: ReplyGenerator, pairs: Sequence[tuple[Comparison, Comparison]]
) -> list[Moves | str]:
    """How far either model's attention moves from the first prompt of a pair to the second, while
    it reads the base's reply to the first; or why that cannot be told.

    Raises:
        CapabilityError: an engine does not tell where it looks.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_moves

        return attention_moves(
            generation.pair,
            [(*_asked([m, reply]), _asked([changed, reply])[0]) for m, reply, changed in todo],
        )

    told = [[*_about(original), _about(changed)[0]] for original, changed in pairs]
    found: list[Moves | str] = []
    for part in _parts(generation, told):
        values = generation.memo.get_all("attention moves", "base", part, compute)
        found += [value.get("unsupported") or moves_from_json(value) for value in values]
    return found


def attention_map(
    generation: ReplyGenerator, comparison: Comparison, *, layer: int, head: int
) -> AttentionMap:
    """The attention of one head of both models, both counted from 0.

    Raises:
        CapabilityError: an engine does not tell where it looks, or there is no such head.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_maps

        return attention_maps(generation.pair, [(*_asked(read), *place) for read, place in todo])

    told = [_about(comparison), [layer, head]]
    (found,) = generation.memo.get_all("attention map", "base", [told], compute)
    if "unsupported" in found:
        raise CapabilityError(f"no map of attention: {found['unsupported']}")
    return AttentionMap(
        layer=layer,
        head=head,
        keys=tuple(found["keys"]),
        reply=tuple(found["reply"]),
        base=tuple(map(tuple, found["base"])),
        tuned=tuple(map(tuple, found["tuned"])),
    )


def attention_shown(generation: ReplyGenerator, comparison: Comparison) -> AttentionShown | None:
    """What a failure shows of attention; None where none moved beyond rounding.

    Raises:
        CapabilityError: an engine does not tell where it looks.
    """
    (view,) = attention_views(generation, [comparison])
    if isinstance(view, str) or not view.shift > view.noise:
        return None
    heads = view.most_moved(SHOWN)
    try:
        most = attention_map(generation, comparison, layer=heads[0].layer, head=heads[0].head)
    except CapabilityError:  # recorded without it
        most = None
    return AttentionShown(
        shift=view.shift,
        noise=view.noise,
        heads=tuple(heads),
        words=tuple(moved_words(view, user_text(comparison.probe.messages), SHOWN)),
        map=most,
    )


def _parts(generation: ReplyGenerator, items: Sequence[Any]) -> list[Sequence[Any]]:
    """What is computed and kept together: all, where the models take turns in memory."""
    size = PART if len(items) <= PART or generation.pair.fits else len(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _about(comparison: Comparison) -> list[Any]:
    """What both models read, as plain JSON: the prompt and the base's reply."""
    return about(comparison)[:2]


def _asked(told: list[Any]) -> tuple[Sequence[Message], Ending]:
    """The same, read back."""
    messages, reply, _ = asked([*told, told[1]])
    return messages, reply
