"""Both replies of a comparison, token by token, as both models see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import SIDES, Comparison
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences
from pytest_llmdiff.engines import Continuation, capability, lacks_logits
from pytest_llmdiff.engines.pair.divergence import rows_for, token_divergences
from pytest_llmdiff.engines.pair.first_differences import Asked, about, asked, reply_tokens
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.vocabularies import (
    readable,
    rows_of,
    text_of,
    unlike_tokenizers,
    used_rows,
)
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.explain.pieces import pieces
from pytest_llmdiff.explain.tokens.candidates import Candidate, candidates, likely, shown
from pytest_llmdiff.explain.tokens.values import SeenToken, TokenView
from pytest_llmdiff.generation.generator import ReplyGenerator

if TYPE_CHECKING:
    import torch


def token_views(pair: Pair, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """For each (prompt, base's reply, tuned reply) a `TokenView` as plain JSON.

    Raises:
        CapabilityError: an engine has no logits of the whole vocabulary, or the tokenizers differ.
    """
    known = capability(pair.tuned, "token_view")
    if known is not None:  # by the engine itself, without weights
        return [known(m[-1]["content"], own.text, other.text) for m, own, other in asked]
    base: Any = pair.base
    tuned: Any = pair.tuned
    for engine in (pair.base, pair.tuned):
        if capability(engine, "token_logits") is None:
            raise CapabilityError(f"a view of tokens needs logits, and {lacks_logits(engine)}")
    if unlike := unlike_tokenizers(base, tuned):
        raise CapabilityError(unlike)
    rows = rows_for(pair.resolved.get("device", "cpu"), len(base.tokenizer))
    prompts = [(tuple(base.render(m)), tuple(tuned.render(m))) for m, _, _ in asked]
    replies = [reply_tokens(base, own, other) for _, own, other in asked]
    least = min(rows_of(base), rows_of(tuned))
    read = [[readable(ids, least) for ids in both] for both in replies]
    if not all(ids for both in read for ids in both):
        raise CapabilityError("a reply begins with a token that the other model has not")
    items = [
        (Continuation(prompt_ids=before, reply_ids=ids),
         Continuation(prompt_ids=after, reply_ids=ids))
        for (before, after), both in zip(prompts, read, strict=True) for ids in both
    ]  # fmt: skip
    used, name = used_rows(base), cache(text_of(base, tuned))
    nexts: dict[int, list[list[Candidate]]] = {}  # by item, those of each token

    def look(index: int, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        nexts[index] = candidates(ours, theirs, used, name)

    divergences: dict[int, TokenDivergences] = dict(
        token_divergences(
            base, tuned, items, rows=rows, used=used, text_of=name,
            between=None if pair.fits else base.close, read=look,
        )
    )  # fmt: skip
    views = []
    for number, own_other in enumerate(replies):
        at = first_difference(*own_other, cut=True)
        of_base, of_tuned = 2 * number, 2 * number + 1
        # Up to there the replies are the same, and so are the next tokens after both.
        known = [nexts[item][at : at + 1] for item in (of_base, of_tuned)] if at is not None else []
        there = next((found[0] for found in known if found), None)
        of_differing = divergences[of_base].tokens[at : at + 1] if at is not None else ()
        views.append({
            "at": at,
            "differs": vars(of_differing[0]) if of_differing else None,
            "likely": there and {
                side: [[text, chances[place]] for text, *chances in likely(there, place)]
                for place, side in enumerate(SIDES)
            },
            "base": _token_rows(base, read[number][0], divergences[of_base], nexts[of_base]),
            "tuned": _token_rows(tuned, read[number][1], divergences[of_tuned], nexts[of_tuned]),
        })  # fmt: skip
    return views


def _token_rows(
    engine: Any,
    ids: Sequence[int],
    divergences: TokenDivergences,
    nexts: Sequence[Sequence[Candidate]],
) -> list[list[Any]]:
    """For each token its text, KL(base‖tuned), its log-probability under either model, and the
    likely tokens there."""
    return [
        [text, token.kl, token.base_logprob, token.tuned_logprob, shown(there)]
        for text, token, there in zip(pieces(engine, ids), divergences.tokens, nexts, strict=True)
    ]


def token_view(generation: ReplyGenerator, comparison: Comparison) -> TokenView:
    """Both replies of a comparison, by a pass of both models over each.

    Raises:
        CapabilityError: an engine has no logits of the whole vocabulary.
    """

    def compute(_: Any, todo: list[Any]) -> list[dict[str, Any]]:
        return token_views(generation.pair, list(map(asked, todo)))

    # The base first: if only one fits into memory, it is the one to load now.
    (result,) = generation.memo.get_all("tokens", "base", [about(comparison)], compute)
    likely = result["likely"] or {}
    sides = {
        side: tuple(
            SeenToken(
                text=text,
                kl=kl,
                base_logprob=base,
                tuned_logprob=tuned,
                candidates=tuple((name, p, q) for name, p, q in (nexts[0] if nexts else ())),
            )
            for text, kl, base, tuned, *nexts in result[side]
        )
        for side in SIDES
    }
    differs = result.get("differs")  # scripted models have none, nor have older recordings
    return TokenView(
        base=sides["base"],
        tuned=sides["tuned"],
        at=result["at"],
        differs=None if differs is None else TokenDivergence(**differs),
        base_likely=tuple((text, p) for text, p in likely.get("base", ())),
        tuned_likely=tuple((text, p) for text, p in likely.get("tuned", ())),
    )
