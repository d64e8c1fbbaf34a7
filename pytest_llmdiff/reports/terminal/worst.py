"""The worst verdicts of a run, with the replies side by side if the terminal is wide enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import columns, marked, number, printable, shortened
from pytest_llmdiff.reports.order import Broken, comparison_of, short
from pytest_llmdiff.reports.terminal.styles import Line, Piece
from pytest_llmdiff.reports.verdict_cells import (
    besides_of,
    group_of,
    measure_of,
    numbers_of,
    value_of,
)

WORST = 5
WIDE = 120  # columns of a terminal from which replies stand side by side
DEEP = 4  # lines of each reply there
INDENT = 4
GAP = 3


def worst_lines(broken: Sequence[Broken], width: int) -> Iterator[Line]:
    """The first of the `broken` verdicts, which are sorted."""
    yield Line.of("worst first:", "head")
    for each in broken[:WORST]:
        verdict = each.verdict
        sign = ">" if verdict["bound"] == "at_most" else "<"
        _, limit = numbers_of(verdict)
        value = f"of {group}" if (group := group_of(verdict)) else value_of(verdict)
        held = f"  {printable(f'{measure_of(verdict)} {value}')} {sign} {limit}"
        yield Line.of(held, "bad", f"{_p(verdict)}  {printable(short(each.row['test']))}")
        if besides := besides_of(verdict):
            yield Line.of(f"    {printable(besides)}")
        comparison = comparison_of(each.row, verdict)
        if comparison is not None:
            yield from _shown(comparison, width)
    if len(broken) > WORST:
        yield Line.of(f"  and {len(broken) - WORST} more")


def _p(verdict: Mapping[str, Any]) -> str:
    if verdict["p"] is None:
        return ""
    return f" (p {number(verdict['p'])}, adjusted for the run {number(verdict['adjusted'])})"


def _shown(comparison: Mapping[str, Any], width: int) -> Iterator[Line]:
    yield Line.of(f"    prompt  {shortened(printable(comparison['prompt']), max(100, width - 13))}")
    first, second = comparison["sides"]
    texts = [comparison[side]["text"] for side in ("base", "tuned")]
    if width < WIDE:
        yield Line.of(f"    {second:<7} {shortened(printable(texts[1]), 100)}")
        return
    at = first_difference(*texts)
    half = (width - INDENT - GAP) // 2
    sides = [
        [name, *_wrapped(marked(text, at) if text else "(empty)", half)]
        for name, text in zip((first, second), texts, strict=True)
    ]
    for place, (left, right) in enumerate(zip_longest(*sides, fillvalue="")):
        space = " " * (half - columns(left))
        style = ("head", "head") if place == 0 else ("good", "bad") if at is not None else ("", "")
        yield Line(
            pieces=(
                Piece(text=" " * INDENT),
                Piece(text=left, style=style[0]),
                Piece(text=f"{space} │ ", style="faint"),
                Piece(text=right, style=style[1]),
            )
        )


def _wrapped(text: str, width: int) -> list[str]:
    """At most `DEEP` lines of at most `width` columns, broken at spaces if possible."""
    lines: list[str] = []
    while text and len(lines) < DEEP:
        end = used = 0
        for character in text:
            used += columns(character)
            if used > width:
                break
            end += 1
        space = text.rfind(" ", 0, end)
        if end < len(text) and space > end // 2:
            end = space + 1
        lines.append(text[:end].rstrip())
        text = text[end:]
    if text:
        lines[-1] = shortened(lines[-1] + text, width)
    return lines
