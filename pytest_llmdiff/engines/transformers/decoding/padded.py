"""Left-padded batches: `generate`, and logits of given replies. Every model can run these."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.transformers.decoding.sampling import RowSampling
from pytest_llmdiff.engines.transformers.weights import input_device

if TYPE_CHECKING:
    import torch


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: Sampling,
    keys: Sequence[str],
    stop_ids: Sequence[int],
    pad_id: int,
) -> list[list[int]]:
    """Continue prompts (token ids) as one left-padded batch.

    Returns the new tokens of each row, up to and including its first stop token. `keys` seed each
    row's sampling, so that it does not depend on the other rows.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    ids, mask = left_padded(prompts, pad_id, input_device(model))
    rows_of = RowSampling(sampling, keys)
    processors = LogitsProcessorList([lambda _, scores: rows_of(scores, range(len(scores)))])
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=list(stop_ids) or None,
        pad_token_id=pad_id,
        use_cache=True,
    )
    output = model.generate(
        input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=processors
    )
    rows = output[:, ids.shape[1] :].tolist()
    return [_until_stop(row, set(stop_ids)) for row in rows]


def reply_logits(
    model: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], *, pad_id: int
) -> list[torch.Tensor]:
    """Logits `[len(reply), vocabulary]` that predict each token of the given replies.

    One forward pass over the left-padded rows. Where the architecture allows it, the output layer
    runs on the replies only.
    """
    device = input_device(model)
    rows = [[*prompt, *reply] for prompt, reply in zip(prompts, replies, strict=True)]
    ids, mask = left_padded(rows, pad_id, device)
    keep = max(len(reply) for reply in replies) + 1
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    accepted = inspect.signature(base.forward).parameters
    options: dict[str, Any] = {}
    if "position_ids" in accepted:
        options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    if "logits_to_keep" in accepted:
        options["logits_to_keep"] = keep
    output = model(input_ids=ids, attention_mask=mask, use_cache=False, **options)
    logits = output.logits[:, -keep:]  # [rows, keep, vocabulary]
    # The logit at position t predicts token t + 1, so the last one predicts no given token.
    return [logits[i, -len(reply) - 1 : -1] for i, reply in enumerate(replies)]


def left_padded(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both `[rows, longest row]`."""
    import torch

    width = max(len(row) for row in rows)
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _until_stop(row: list[int], stop_ids: set[int]) -> list[int]:
    for index, token in enumerate(row):
        if token in stop_ids:
            return row[: index + 1]
    return row
