"""The attention of both models as plain JSON, and as the block that draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import SIDES
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.explain.attention.values import AttentionMap, HeadGrid
from pytest_llmdiff.explain.blocks import Block, heads

REPORTED = 48  # tokens of a reply in a map
KEYS = 256  # the last tokens before each of them
WEIGHTED = (
    "A share is what a token adds to a head's output: its attention weight times the length of "
    "the vector that it passes on. A token that is looked at but passes on nothing has no share."
)


def grid_row(grid: HeadGrid) -> dict[str, Any]:
    def shortened(values: Sequence[Sequence[float]]) -> list[list[Any]]:
        return [[rounded(value) for value in row] for row in values]

    return {
        "layers": list(grid.layers),
        "moved": shortened(grid.moved),
        "spread": None if grid.spread is None else [shortened(side) for side in grid.spread],
    }


def map_row(found: AttentionMap) -> dict[str, Any]:
    """The first tokens of the reply, and the end of the keys, where the user's text and the reply
    are."""
    cut = max(0, len(found.keys) - KEYS)
    asked = found.asked and [max(0, place - cut) for place in found.asked]
    sides = {
        side: [[round(share, 3) for share in row[cut:]] for row in rows[:REPORTED]]
        for side, rows in (("base", found.base), ("tuned", found.tuned))
    }
    return {
        "layer": found.layer,
        "head": found.head,
        "keys": list(found.keys[cut:]),
        "prompt": max(0, found.prompt - cut),
        "asked": asked if asked and asked[1] else None,
        "reply": list(found.reply[:REPORTED]),
        **sides,
    }


def heads_block(
    title: str,
    sides: Sequence[str],
    about: Sequence[str],
    grid: Mapping[str, Any] | None,
    text: Mapping[str, Any] | None = None,
    maps: Sequence[Mapping[str, Any]] = (),
) -> Block:
    """All heads, and maps of some of them over the tokens of `text`, from plain JSON."""
    tokens = None
    if text is not None:
        tokens = {key: text[key] for key in ("keys", "prompt", "asked", "reply")}
    drawn = [
        {"layer": each["layer"], "head": each["head"], **{side: each[side] for side in SIDES}}
        for each in maps
    ]
    return heads(title, sides, about, grid, tokens, drawn)


def map_blocks(found: AttentionMap) -> list[Block]:
    """What a notebook shows of a map."""
    row = map_row(found)
    grid = None if found.grid is None else grid_row(found.grid)
    title = f"Attention of layer {found.layer}, head {found.head}"
    return [heads_block(title, found.sides, [WEIGHTED], grid, row, [row])]
