"""A failure token by token: the likeliest next tokens in its text, both replies on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.data.text.printing import printable
from pytest_llmdiff.explain.blocks import Block, table, tokens
from pytest_llmdiff.explain.kind import Budget, Kind, Sources
from pytest_llmdiff.explain.tokens.values import TokenView
from pytest_llmdiff.explain.tokens.views import token_view

LIKELY = 3  # next tokens of each model in a line
REPORTED = 512  # tokens of a reply in the JSON report


def _compute(sources: Sources, comparison: Comparison) -> TokenView | None:
    return None if sources.reloads else token_view(sources.generation, comparison)


def _lines(view: TokenView, comparison: Comparison, *_: object) -> list[str]:
    """The next tokens that either model found likely where the replies begin to differ."""
    if view.at is None:
        return []
    sides = zip(comparison.sides, (view.base_likely, view.tuned_likely), strict=True)
    named = [
        f"{name} " + ", ".join(f'"{printable(text)}" {p:.2f}' for text, p in likely[:LIKELY])
        for name, likely in sides
    ]
    return [f"  likely   {'; '.join(named)}"]


def _row(view: TokenView) -> dict[str, Any]:
    """The numbers of each token, rounded: a reply has hundreds of tokens."""
    sides = {
        side: [
            [t.text, *map(rounded, (t.kl, t.base_logprob, t.tuned_logprob))]
            for t in tokens[:REPORTED]
        ]
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


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    seen, (first, second) = comparison["seen"], comparison["sides"]
    if seen["base_likely"]:
        yield table(
            f"Next tokens where the replies begin to differ (token {seen['at'] + 1})",
            (first, "probability", second, "probability"),
            [
                (*ours, *theirs)
                for ours, theirs in zip(seen["base_likely"], seen["tuned_likely"], strict=True)
            ],
        )
    for side, name in (("base", first), ("tuned", second)):
        if seen[side]:
            yield tokens(f"Reply of {name}, token by token", (first, second), seen[side])


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
