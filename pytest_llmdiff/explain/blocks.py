"""The blocks that the HTML page shows of a test or a probe.

A block has a title, and a form: lines, a table, tokens, words or a map of attention. The page has
one function for each form (`reports/html/scripts`), and draws it whatever it is about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import number, printable, shortened

Block = dict[str, Any]
LONGEST = 2000  # columns of a line
STEPS = 6  # of marking
MAPPED, KEYS = 24, 96  # rows and columns of a map: nobody takes in more
WIDEST = 24  # columns of a token beside a map
STRONG = 3.0  # nats from which on a token is marked at full strength


def lines(title: str, texts: Sequence[object]) -> Block:
    return {"title": title, "form": "lines", "lines": [_text(text) for text in texts]}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    cells = [[_text(cell) for cell in row] for row in rows]
    return {"title": title, "form": "table", "head": list(head), "rows": cells}


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return shortened("none" if value is None else str(value), LONGEST)


def tokens(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Block:
    """The tokens of a reply, from rows of text, KL in nats, and log-probability under each of the
    two models `names`."""
    marked = [_token(*row) for row in rows]
    return {"title": title, "form": "tokens", "names": list(names), "tokens": marked}


def _token(text: str, kl: float | None, *logprobs: float | None) -> list[Any]:
    heat = 0 if kl is None else round(STEPS * min(kl / STRONG, 1.0))
    chances = [0.0 if x is None else math.exp(x) for x in logprobs]
    # A line end is visible, and breaks the line.
    shown = printable(text).replace("\\n", "⏎\n")
    return [shown, heat, *(float(f"{x:.3g}") for x in (kl or 0.0, *chances))]


def attention_map(
    title: str, keys: Sequence[str], reply: Sequence[str], rows: Sequence[Sequence[float]]
) -> Block:
    """The attention of one head: a row for each token of a reply, with a digit for each token in
    `keys`; the higher the digit, the larger the share of the attention."""
    digits = [
        [_inline(token), "".join(str(round(STEPS * math.sqrt(share))) for share in shares[-KEYS:])]
        for token, shares in zip(reply[:MAPPED], rows, strict=False)
    ]
    shown = [_inline(key) for key in keys[-KEYS:]]
    return {"title": title, "form": "map", "keys": shown, "rows": digits}


def _inline(text: str) -> str:
    return shortened(printable(text).replace("\\n", "⏎"), WIDEST)


def words(title: str, hint: str, pieces: Sequence[Sequence[Any]]) -> Block:
    """A text in pieces. A marked piece has its text, the strength of the mark, whether its score is
    negative, and the score; an unmarked one its text alone."""
    shown = [[printable(text), *rest] for text, *rest in pieces]
    return {"title": title, "form": "words", "hint": hint, "words": shown}
