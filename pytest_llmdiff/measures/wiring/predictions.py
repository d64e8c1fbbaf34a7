"""The most likely tokens of both models in ordinary chats: how far they move, how they vary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.pair.vocabularies import rows_of, used_rows
from pytest_llmdiff.errors import ProbeError

if TYPE_CHECKING:
    import torch

ROWS = 512
# By index of the prompt: logits `[vocabulary]` of the last position, and the most likely tokens
# `[positions]`.
Read = Mapping[int, tuple["torch.Tensor", list[int]]]


def movement(base: torch.Tensor, tuned: torch.Tensor) -> float:
    """The largest |Δ log p| in nats between two logits `[..., vocabulary]`; infinite if one is NaN.

    Tokens that only one of the models has are left out, but what they take is missing from the
    others.
    """
    width = min(base.shape[-1], tuned.shape[-1])
    p, q = (logits.to(base.device).float().log_softmax(-1)[..., :width] for logits in (base, tuned))
    # Tokens that both models mask (log p = −inf) do not differ, although −inf − −inf is NaN.
    change = (p - q).abs().masked_fill(p == q, 0.0).max()
    return float(change.nan_to_num(nan=math.inf))


def prediction_facts(pair: Any, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Plain JSON facts about the predictions of both models, which read the same token ids.

    `moved` is the largest |Δ log p| in nats, None if not finite. `base` and `tuned` have the share
    of positions at which the most frequent prediction is the most likely token, and its text.
    """
    items = [Continuation(prompt_ids=tuple(p[:1]), reply_ids=tuple(p[1:])) for p in prompts]
    base, tuned = _read(pair, items)
    moved = _moved(base, tuned)
    return {
        "moved": moved if math.isfinite(moved) else None,
        "base": _most_frequent(pair.base, [top for _, top in base.values()]),
        "tuned": _most_frequent(pair.tuned, [top for _, top in tuned.values()]),
    }


def logits_moved(pair: Any, prompts: Sequence[Sequence[int]]) -> float:
    """The largest |Δ log p| in nats of the first reply token, over prompts that both read."""
    # The reply token only marks the position, since logits are asked for by reply token.
    items = [Continuation(prompt_ids=tuple(p), reply_ids=(p[-1],)) for p in prompts]
    return _moved(*_read(pair, items))


def prompts_of_both(pair: Any, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Conversations as token ids that both models read: in the tuned side's rendering, or in the
    base's where the tuned side's has tokens that the base has not. Those that both templates
    refuse are left out."""
    rows = min(rows_of(pair.base), rows_of(pair.tuned))
    found = []
    for conversation in conversations:
        for engine in (pair.tuned, pair.base):
            try:
                ids = list(engine.render(conversation))
            except ProbeError:
                continue  # for example, a template without a system role
            if ids and max(ids) < rows:
                found.append(ids)
                break
    return found


def _moved(base: Read, tuned: Read) -> float:
    return max((movement(base[index][0], last) for index, (last, _) in tuned.items()), default=0.0)


def _read(pair: Any, items: Sequence[Continuation]) -> tuple[Read, Read]:
    # Only the last row of logits is kept: it is enough for the movement, and all rows of a long
    # prompt would not fit in memory.
    base = dict(_side(pair.base, items))
    if not pair.fits:
        pair.base.close()
    return base, dict(_side(pair.tuned, items))


def _side(
    engine: Any, items: Sequence[Continuation]
) -> Iterator[tuple[int, tuple[torch.Tensor, list[int]]]]:
    # Padding is no token, and two models may differ in it alone.
    used = used_rows(engine) if capability(engine, "tokenizer") is not None else None
    for index, logits in engine.token_logits(items, ROWS):
        yield index, (logits[-1][:used], logits.argmax(-1).tolist())


def _most_frequent(engine: Any, tops: Sequence[Sequence[int]]) -> list[Any]:
    counts: dict[int, int] = {}
    for top in tops:
        for token in top:
            counts[token] = counts.get(token, 0) + 1
    token = max(counts, key=counts.__getitem__)
    return [counts[token] / sum(counts.values()), engine.token_text(token)]
