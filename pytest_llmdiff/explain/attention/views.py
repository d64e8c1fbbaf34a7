"""Views of both models' attention, computed once and cached in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.spans import tokens_in, user_span, user_text
from pytest_llmdiff.engines.pair.first_differences import Ending, about, asked
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.explain.attention.values import (
    AttentionMap,
    AttentionShown,
    AttentionView,
    HeadShift,
    Moves,
    moved_words,
    moves_from_json,
    view_from_json,
)
from pytest_llmdiff.generation.generator import ReplyGenerator

PART = 32  # comparisons whose attention is written together: a killed run loses no more
SHOWN = 5  # heads, and words
MAPS = 4  # of the first heads: some 50 kB each in a report


def attention_views(
    generation: ReplyGenerator,
    comparisons: Sequence[Comparison],
    around: Callable[[], Sequence[Comparison]] = list,
) -> list[AttentionView | str]:
    """A view for each comparison, or why there is none. If the two models take turns in memory, the
    comparisons `around` are computed too.

    Raises:
        CapabilityError: an engine gives no attention.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_views

        return attention_views(generation.pair, list(map(_asked, todo)))

    views: list[AttentionView | str] = []
    for part in _parts(generation, comparisons):
        values = generation.memo.get_all(
            "attention",
            "base",
            [_about(c) for c in part],
            compute,
            around=lambda: [] if generation.pair.fits else [_about(c) for c in around()],
        )
        views += [value.get("unsupported") or view_from_json(value) for value in values]
    return views


def attention_moves(
    generation: ReplyGenerator, pairs: Sequence[tuple[Comparison, Comparison]]
) -> list[Moves | str]:
    """How far either model's attention moves from the first prompt of a pair to the second, while
    it reads the base's reply to the first; or why that is unknown.

    Raises:
        CapabilityError: an engine gives no attention.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_moves

        return attention_moves(
            generation.pair,
            [(*_asked([m, reply]), _asked([changed, reply])[0]) for m, reply, changed in todo],
        )

    asked_for = [[*_about(original), _about(changed)[0]] for original, changed in pairs]
    moves: list[Moves | str] = []
    for part in _parts(generation, asked_for):
        values = generation.memo.get_all("attention moves", "base", part, compute)
        moves += [value.get("unsupported") or moves_from_json(value) for value in values]
    return moves


def attention_map(
    generation: ReplyGenerator,
    comparison: Comparison,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> AttentionMap:
    """The attention of one head of both models, both counted from 0; without `head` the one that
    moved most, in this `layer` or in all.

    Raises:
        CapabilityError: an engine gives no attention, there is no such head, or which one moved
            most is unknown.
    """
    if layer is not None and head is not None:
        (found,) = attention_maps(generation, comparison, [(layer, head)])
        return found
    (view,) = attention_views(generation, [comparison])
    if isinstance(view, str):
        raise CapabilityError(f"no map of attention: {view}")
    heads = [h for h in view.most_moved() if layer in (None, h.layer)]
    if not heads:
        raise CapabilityError(
            f"no map of attention: no layer {layer}; there are {', '.join(map(str, view.layers))}"
        )
    (found,) = attention_maps(generation, comparison, [(heads[0].layer, heads[0].head)])
    return replace(found, grid=view.grid)


def attention_maps(
    generation: ReplyGenerator, comparison: Comparison, heads: Sequence[tuple[int, int]]
) -> list[AttentionMap]:
    """The attention of some heads, by layer and number; each model reads the texts once.

    Raises:
        CapabilityError: an engine gives no attention, or there is no such head.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.explain.attention.pair import attention_maps

        (found,) = attention_maps(
            generation.pair, [(*_asked(read), [(layer, head) for _, (layer, head) in todo])]
        )
        return found

    read = _about(comparison)
    asked_for = [[read, list(place)] for place in heads]
    results = generation.memo.get_all("attention map", "base", asked_for, compute)
    content = user_text(comparison.probe.messages)
    return [
        _map(result, place, content, comparison.sides)
        for place, result in zip(heads, results, strict=True)
    ]


def _map(
    result: dict[str, Any], place: tuple[int, int], content: str, sides: tuple[str, str]
) -> AttentionMap:
    if "unsupported" in result:
        raise CapabilityError(f"no map of attention: {result['unsupported']}")
    keys, reply = tuple(result["keys"]), tuple(result["reply"])
    prompt = keys[: len(keys) - len(reply) + 1]
    span = user_span(prompt, content)
    tokens = tokens_in(prompt, [span]) if span else set()
    return AttentionMap(
        layer=place[0],
        head=place[1],
        keys=keys,
        reply=reply,
        base=tuple(map(tuple, result["base"])),
        tuned=tuple(map(tuple, result["tuned"])),
        asked=(min(tokens), max(tokens) + 1) if tokens else None,
        sides=sides,
    )


def attention_shown(generation: ReplyGenerator, comparison: Comparison) -> AttentionShown | None:
    """What a failure shows of attention; None if nothing moved beyond rounding.

    Raises:
        CapabilityError: an engine gives no attention.
    """
    (view,) = attention_views(generation, [comparison])
    if isinstance(view, str) or not view.shift > view.noise:
        return None
    heads = view.most_moved()
    return AttentionShown(
        shift=view.shift,
        noise=view.noise,
        sink=view.sink,
        grid=view.grid,
        heads=tuple(heads[:SHOWN]),
        words=tuple(moved_words(view, user_text(comparison.probe.messages), SHOWN)),
        maps=tuple(_first_maps(generation, comparison, heads[:MAPS])),
    )


def _first_maps(
    generation: ReplyGenerator, comparison: Comparison, heads: Sequence[HeadShift]
) -> list[AttentionMap]:
    """As many of them as there are: a recording of an earlier version has the first alone."""
    for count in (len(heads), 1):
        places = [(head.layer, head.head) for head in heads[:count]]
        try:
            return attention_maps(generation, comparison, places)
        except CapabilityError:
            continue
    return []


def _parts(generation: ReplyGenerator, items: Sequence[Any]) -> list[Sequence[Any]]:
    """Batches that are computed and written together: a single one if the models take turns in
    memory."""
    size = PART if len(items) <= PART or generation.pair.fits else len(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _about(comparison: Comparison) -> list[Any]:
    """What both models read, as plain JSON: the prompt and the base's reply."""
    return about(comparison)[:2]


def _asked(about_it: list[Any]) -> tuple[Sequence[Message], Ending]:
    """`_about`, read back."""
    messages, reply, _ = asked([*about_it, about_it[1]])
    return messages, reply
