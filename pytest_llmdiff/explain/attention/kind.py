"""A failure by attention: the words that gained or lost most, all heads, and maps of a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.data.comparison import SIDES, Comparison
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.data.text.printing import number, percent, printable, shortened
from pytest_llmdiff.explain.attention.rows import WEIGHTED, grid_row, heads_block, map_row
from pytest_llmdiff.explain.attention.values import AttentionShown
from pytest_llmdiff.explain.attention.views import attention_shown
from pytest_llmdiff.explain.blocks import Block, table
from pytest_llmdiff.explain.kind import Budget, Kind, Sources

WORDS = 3  # in a line
LONGEST = 24  # columns of one
LEAST = 0.01  # change of a word's share of the attention below which a line leaves it out


def _compute(sources: Sources, comparison: Comparison) -> AttentionShown | None:
    return None if sources.reloads else attention_shown(sources.generation, comparison)


def _lines(shown: AttentionShown, comparison: Comparison) -> list[str]:
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
    maps = [map_row(each) for each in shown.maps]
    return {
        "attention": {
            "shift": shown.shift,
            "noise": shown.noise,
            "sink": [rounded(share) for share in shown.sink],
            "heads": [[head.layer, head.head, head.value] for head in shown.heads],
            "grid": grid_row(shown.grid),
            "words": [[w.word, round(w.base, 4), round(w.tuned, 4)] for w in shown.words],
            "map": maps[0] if maps else None,
            # Of the same tokens.
            "more_maps": [{key: each[key] for key in ("layer", "head", *SIDES)}
                          for each in maps[1:]],
        }
    }  # fmt: skip


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    attention, sides = comparison["attention"], comparison["sides"]
    first, others = attention["map"], attention["more_maps"]
    about = [
        f"On average a head moved by {number(attention['shift'])} bits "
        f"(rounding alone: {number(attention['noise'])}). "
        f"The first token gets {percent(attention['sink'][0])} of {sides[0]}'s attention and "
        f"{percent(attention['sink'][1])} of {sides[1]}'s: it takes what a head does not use.",
        WEIGHTED,
    ]
    yield (
        heads_block(
            "What the models attend to", sides, about, attention["grid"], first, [first, *others]
        )
        if first
        else heads_block("What the models attend to", sides, about, attention["grid"])
    )
    if attention["words"]:
        yield table(
            "Words of the prompt whose share of the attention changed most",
            ("word", *sides, "change"),
            [(word, base, tuned, tuned - base) for word, base, tuned in attention["words"]],
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
