"""Both replies of a comparison, token by token, as both models see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
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
from pytest_llmdiff.explain.tokens.values import SeenToken, TokenView
from pytest_llmdiff.generation.generator import ReplyGenerator

if TYPE_CHECKING:
    import torch

CANDIDATES = 5  # next tokens of each model where the replies begin to differ


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
    # A token that is not read by both has no place in the passes.
    differing = [
        at if at is None or at < len(read[index][0]) else None
        for index, at in enumerate(first_difference(*both, cut=True) for both in replies)
    ]
    likely: dict[int, dict[str, list[list[Any]]]] = {}

    def watch(item: int, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        index, of_tuned = divmod(item, 2)
        at = differing[index]
        if at is not None and not of_tuned:
            likely[index] = {"base": _best(base, ours[at]), "tuned": _best(tuned, theirs[at])}

    divergences: dict[int, TokenDivergences] = dict(
        token_divergences(
            base, tuned, items, rows=rows, used=used_rows(base), text_of=text_of(base, tuned),
            between=None if pair.fits else base.close, watch=watch,
        )
    )  # fmt: skip
    return [
        {
            "at": at,
            "differs": None if at is None else vars(divergences[2 * index].tokens[at]),
            "likely": likely.get(index),
            "base": _token_rows(base, read[index][0], divergences[2 * index]),
            "tuned": _token_rows(tuned, read[index][1], divergences[2 * index + 1]),
        }
        for index, at in enumerate(differing)
    ]


def _token_rows(engine: Any, ids: Sequence[int], divergences: TokenDivergences) -> list[list[Any]]:
    """For each token its text, KL(base‖tuned), and its log-probability under either model."""
    texts = pieces(engine, ids)
    return [
        [text, token.kl, token.base_logprob, token.tuned_logprob]
        for text, token in zip(texts, divergences.tokens, strict=True)
    ]


def _best(engine: Any, logits: torch.Tensor) -> list[list[Any]]:
    """The likeliest next tokens, with their probabilities, from logits `[vocabulary]`."""
    best = logits.float().softmax(-1).topk(CANDIDATES)
    tokens = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [[engine.token_text(token), p] for token, p in tokens]


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
            SeenToken(text=text, kl=kl, base_logprob=base, tuned_logprob=tuned)
            for text, kl, base, tuned in result[side]
        )
        for side in ("base", "tuned")
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
