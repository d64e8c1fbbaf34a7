"""A failure token by token: the likeliest next tokens in its text, both replies on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.data.text.printing import percent, printable
from pytest_llmdiff.explain.blocks import Block, tokens
from pytest_llmdiff.explain.kind import Budget, Kind, Sources
from pytest_llmdiff.explain.tokens.values import SeenToken, TokenView
from pytest_llmdiff.explain.tokens.views import token_view

LIKELY = 3  # next tokens of each model in a line
REPORTED = 512  # tokens of a reply in the JSON report
UNSEEN = 4  # columns of a token without candidates


def _compute(sources: Sources, comparison: Comparison) -> TokenView | None:
    return None if sources.reloads else token_view(sources.generation, comparison)


def _lines(view: TokenView, comparison: Comparison) -> list[str]:
    """The next tokens that either model found likely where the replies begin to differ."""
    if view.at is None:
        return []
    sides = zip(comparison.sides, (view.base_likely, view.tuned_likely), strict=True)
    named = [
        f"{name} " + ", ".join(f'"{printable(text)}" {percent(p)}' for text, p in likely[:LIKELY])
        for name, likely in sides
    ]
    return [f"  likely   {'; '.join(named)}"]


def _row(view: TokenView) -> dict[str, Any]:
    """The numbers of each token, rounded: a reply has hundreds of tokens."""
    sides = {
        side: [_token_row(token) for token in tokens[:REPORTED]]
        for side, tokens in (("base", view.base), ("tuned", view.tuned))
    }
    return {
        "seen": {
            "at": view.at,
            "base_likely": [[text, round(p, 4)] for text, p in view.base_likely],
            "tuned_likely": [[text, round(p, 4)] for text, p in view.tuned_likely],
            **sides,
        }
    }


def _token_row(token: SeenToken) -> list[Any]:
    row = [token.text, *map(rounded, (token.kl, token.base_logprob, token.tuned_logprob))]
    if token.candidates:
        row.append([[text, *map(rounded, chances)] for text, *chances in token.candidates])
    return row


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    seen, names = comparison["seen"], comparison["sides"]
    for side, name in zip(("base", "tuned"), names, strict=True):
        if rows := [list(row) for row in seen[side]]:
            _add_first_difference(rows, seen)
            yield tokens(f"Reply of {name}, token by token", names, rows, seen["at"])


def _add_first_difference(rows: list[list[Any]], seen: Mapping[str, Any]) -> None:
    """The likely tokens at the first difference, where a report of an earlier version, or an engine
    without weights, has those alone. A probability that is in one of the lists only is unknown."""
    at = seen["at"]
    if at is None or at >= len(rows) or len(rows[at]) > UNSEEN:
        return
    ours, theirs = dict(seen["base_likely"]), dict(seen["tuned_likely"])
    rows[at].append([[text, ours.get(text), theirs.get(text)] for text in {**ours, **theirs}])


TOKENS = Kind(
    title="token by token",
    tab="tokens",
    budget=Budget(least=5, per=10, most=50),
    brief=True,
    compute=_compute,
    lines=_lines,
    row=_row,
    page=_page,
)
