"""Both replies of a comparison token by token: computed once, kept in the store."""

from __future__ import annotations

from typing import Any

from pytest_llmdiff.comparison import Comparison
from pytest_llmdiff.divergences import SeenToken, TokenView
from pytest_llmdiff.engines.partings import about, asked
from pytest_llmdiff.generation import Generation


def token_view(generation: Generation, comparison: Comparison) -> TokenView:
    """By a pass of both models over either reply.

    Raises:
        CapabilityError: an engine has no logits of the whole vocabulary.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.engines.token_views import token_views

        return token_views(generation.pair, list(map(asked, todo)))

    # The base goes first: where only one fits into memory, room is made for that.
    (found,) = generation.facts.get_all("tokens", "base", [about(comparison)], compute)
    likely = found["likely"] or {}
    sides = {
        side: tuple(
            SeenToken(text=text, kl=kl, base_logprob=base, tuned_logprob=tuned)
            for text, kl, base, tuned in found[side]
        )
        for side in ("base", "tuned")
    }
    return TokenView(
        base=sides["base"],
        tuned=sides["tuned"],
        at=found["at"],
        base_likely=tuple((text, p) for text, p in likely.get("base", ())),
        tuned_likely=tuple((text, p) for text, p in likely.get("tuned", ())),
    )
