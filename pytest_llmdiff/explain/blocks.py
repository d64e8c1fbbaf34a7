"""The blocks that the HTML page shows of a test or a probe.

A block has a title, and a form: lines, a table, bars, tokens, words or heads. The page has one
function for each form (`reports/html/scripts`), and draws it whatever it is about.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import number, printable, shortened

Block = dict[str, Any]
LONGEST = 2000  # columns of a line
STEPS = 6  # of marking
DIGITS, WHOLE = string.digits + string.ascii_letters + "-_", 64 * 64 - 1
WIDEST = 24  # columns of a token beside a map


def lines(title: str, texts: Sequence[object]) -> Block:
    return {"title": title, "form": "lines", "lines": [_text(text) for text in texts]}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    cells = [[_text(cell) for cell in row] for row in rows]
    return {"title": title, "form": "table", "head": list(head), "rows": cells}


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return shortened("none" if value is None else str(value), LONGEST)


def tokens(
    title: str, names: Sequence[str], rows: Sequence[Sequence[Any]], at: int | None = None
) -> Block:
    """The tokens of a reply, from rows of text, KL in nats, log-probability under each of the two
    models `names`, and, if known, the likely tokens there with both probabilities. The token `at`
    is the first to differ from the other reply."""
    shown = [_token(*row) for row in rows]
    return {"title": title, "form": "tokens", "names": list(names), "tokens": shown, "at": at}


def _token(
    text: str, kl: float | None, base: float | None, tuned: float | None,
    candidates: Sequence[Sequence[Any]] = (),
) -> list[Any]:  # fmt: skip
    # A line end is visible, and breaks the line.
    shown = printable(text).replace("\\n", "⏎\n")
    return [shown, kl, base, tuned, [[_inline(name), *chances] for name, *chances in candidates]]


def heads(
    title: str,
    names: Sequence[str],
    about: Sequence[str],
    grid: Mapping[str, Any] | None,
    tokens: Mapping[str, Any] | None,
    maps: Sequence[Mapping[str, Any]],
) -> Block:
    """The attention of two models: a `grid` with numbers of all heads, and `maps` of some over the
    same tokens, as in the JSON report. Each share takes two digits of 64, which the page reads."""
    shown = None
    if tokens is not None:
        texts = {key: [_inline(token) for token in tokens[key]] for key in ("keys", "reply")}
        shown = {**tokens, **texts}
    packed = [
        {**each, **{side: [_packed(row) for row in each[side]] for side in ("base", "tuned")}}
        for each in maps
    ]
    return {"title": title, "form": "heads", "names": list(names), "about": list(about),
            "grid": grid, "tokens": shown, "maps": packed}  # fmt: skip


def _packed(shares: Sequence[float]) -> str:
    """A number of 0 to 1 in steps of 1/4095, most significant digit first."""
    steps = (round(WHOLE * min(max(share, 0.0), 1.0)) for share in shares)
    return "".join(DIGITS[step // 64] + DIGITS[step % 64] for step in steps)


def _inline(text: str) -> str:
    return shortened(printable(text).replace("\\n", "⏎"), WIDEST)


def words(
    title: str,
    names: Sequence[str],
    about: str,
    texts: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    agreement: Sequence[Sequence[str]] = (),
) -> Block:
    """Scores of words by one or several methods: each of `rows` names its `method` and has the
    scores under both models. `agreement` has two methods, and how far they agree on the scores
    under either model and on the change."""
    return {"title": title, "form": "words", "names": list(names), "about": about,
            "words": [_inline(text) for text in texts], "rows": list(rows),
            "agreement": [list(map(_text, row)) for row in agreement]}  # fmt: skip


def bars(
    title: str, about: str, head: Sequence[str], rows: Sequence[tuple[float | None, Sequence[Any]]]
) -> Block:
    """A bar for each row: its length, and the texts beside it, under `head`."""
    held = [[value, *map(_text, texts)] for value, texts in rows]
    return {"title": title, "form": "bars", "about": about, "head": list(head), "rows": held}
