"""What both models find most likely along ordinary chats: does it move, and does it vary?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Continuation

if TYPE_CHECKING:
    import torch

ROWS = 512
# By index: logits `[vocabulary]` of the last position, and most likely tokens `[positions]`.
Read = Mapping[int, tuple["torch.Tensor", list[int]]]


def movement(base: torch.Tensor, tuned: torch.Tensor) -> float:
    """Largest |Δ log p| in nats between logits `[..., vocabulary]`; infinite where one is NaN.

    Rows that one model has beyond the other's vocabulary are left out.
    """
    width = min(base.shape[-1], tuned.shape[-1])
    p, q = (logits[..., :width].to(base.device).float().log_softmax(-1) for logits in (base, tuned))
    # Tokens that both models mask (log p = −inf) do not differ; any other NaN is one.
    change = (p - q).abs().masked_fill(p == q, 0.0).max()
    return float(change.nan_to_num(nan=math.inf))


def prediction_facts(pair: Any, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Plain JSON for token ids that both models read: how far the predictions `moved` (largest
    |Δ log p| in nats, None if not finite), and for `base` and `tuned` the share of positions at
    which their most frequent prediction is the most likely token, with its text.
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
    """Largest |Δ log p| in nats of what comes first behind prompts that both models read."""
    # The reply token only marks the position: its logits are what predicts it.
    items = [Continuation(prompt_ids=tuple(p), reply_ids=(p[-1],)) for p in prompts]
    return _moved(*_read(pair, items))


def _moved(base: Read, tuned: Read) -> float:
    return max((movement(base[index][0], last) for index, (last, _) in tuned.items()), default=0.0)


def _read(pair: Any, items: Sequence[Continuation]) -> tuple[Read, Read]:
    """What both sides find."""
    # The last row is enough for the movement, and all of them would not fit for long prompts.
    base = dict(_side(pair.base, items))
    if not pair.fits:
        pair.base.close()
    return base, dict(_side(pair.tuned, items))


def _side(
    engine: Any, items: Sequence[Continuation]
) -> Iterator[tuple[int, tuple[torch.Tensor, list[int]]]]:
    for index, logits in engine.token_logits(items, ROWS):
        yield index, (logits[-1], logits.argmax(-1).tolist())


def _most_frequent(engine: Any, tops: Sequence[Sequence[int]]) -> list[Any]:
    counts: dict[int, int] = {}
    for top in tops:
        for token in top:
            counts[token] = counts.get(token, 0) + 1
    token = max(counts, key=counts.__getitem__)
    return [counts[token] / sum(counts.values()), engine.token_text(token)]
