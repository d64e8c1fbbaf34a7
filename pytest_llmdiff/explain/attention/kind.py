"""A failure by attention: the words that gained or lost most, the heads that moved, and a map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.printing import number, printable, shortened
from pytest_llmdiff.explain.attention.values import AttentionMap, AttentionShown
from pytest_llmdiff.explain.attention.views import attention_shown
from pytest_llmdiff.explain.blocks import Block, attention_map, table
from pytest_llmdiff.explain.kind import Budget, Kind, Sources

WORDS = 3  # in a line
LONGEST = 24  # columns of one
LEAST = 0.01  # change of a word's share of the attention below which a line leaves it out
REPORTED = 48  # tokens of a reply in the map of the JSON report
KEYS = 256  # the last tokens before each of them


def _compute(sources: Sources, comparison: Comparison) -> AttentionShown | None:
    return None if sources.reloads else attention_shown(sources.generation, comparison)


def _lines(shown: AttentionShown, comparison: Comparison, *_: object) -> list[str]:
    """The words of the prompt whose share of the attention changed most, and the first head."""
    first, second = comparison.sides
    words = ", ".join(
        f'"{printable(shortened(word.word, LONGEST))}" {word.base:.2f} → {word.tuned:.2f}'
        for word in shown.words[:WORDS]
        if abs(word.tuned - word.base) >= LEAST
    )
    most = shown.heads[0]
    where = f"layer {most.layer}, head {most.head} moved most ({number(most.value)} bits)"
    return [f"  attends  {first} → {second}: " + (f"{words}; {where}" if words else where)]


def _row(shown: AttentionShown) -> dict[str, Any]:
    return {
        "attention": {
            "shift": shown.shift,
            "noise": shown.noise,
            "heads": [[head.layer, head.head, head.value] for head in shown.heads],
            "words": [[w.word, round(w.base, 4), round(w.tuned, 4)] for w in shown.words],
            "map": None if shown.map is None else _map_row(shown.map),
        }
    }


def _map_row(shown: AttentionMap) -> dict[str, Any]:
    """The end of the keys, where the user's text and the reply are."""
    sides = {
        side: [[round(share, 3) for share in row[-KEYS:]] for row in rows[:REPORTED]]
        for side, rows in (("base", shown.base), ("tuned", shown.tuned))
    }
    return {
        "layer": shown.layer,
        "head": shown.head,
        "keys": list(shown.keys[-KEYS:]),
        "reply": list(shown.reply[:REPORTED]),
        **sides,
    }


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    attention, (first, second) = comparison["attention"], comparison["sides"]
    if attention["words"]:
        yield table(
            "Words of the prompt whose share of the attention changed most",
            ("word", first, second, "change"),
            [(word, base, tuned, tuned - base) for word, base, tuned in attention["words"]],
        )
    yield table(
        f"Heads that moved most (mean of all {number(attention['shift'])} bits)",
        ("layer", "head", "bits"),
        attention["heads"],
    )
    if (shown := attention["map"]) is None:
        return
    where = f"layer {shown['layer']}, head {shown['head']}"
    for side, name in (("base", first), ("tuned", second)):
        yield attention_map(
            f"Attention of {name}: {where}", shown["keys"], shown["reply"], shown[side]
        )


ATTENTION = Kind(
    title="with their attention",
    tab="attention",
    budget=Budget(least=1, per=40, most=20),
    compute=_compute,
    lines=_lines,
    row=_row,
    page=_page,
)
