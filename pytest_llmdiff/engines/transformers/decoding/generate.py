"""Batches by `generate`, and logits of whole sequences: for models that the loop cannot serve."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request, Sampling
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

    Returns the new tokens of each row up to and including its first stop token. `keys` seed the
    rows' sampling one by one, so that a row's draw does not depend on its neighbours.
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

    One forward pass over the left-padded rows; the output layer runs on the replies' end of the
    sequence only, where the architecture allows that.
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
    # The logit at position t predicts token t + 1, so the last one predicts nothing given.
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


class RowSampling:
    """Scores whose argmax is the next token: the logits themselves, or a draw from their softmax.

    With independent standard Gumbel noise G, argmax(logits + G) is such a draw (the Gumbel-max
    trick, Gumbel 1954). Each row has a generator of its own, seeded by the run's seed and the
    row's content: the shared generator of `do_sample` would make a reply depend on the batch
    around it.
    """

    def __init__(self, sampling: Sampling, keys: Sequence[str]) -> None:
        self._warpers: list[Any] = []
        self._generators: list[torch.Generator] = []
        if sampling.temperature == 0:
            return
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self._warpers.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_p < 1:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))
        self._generators = [
            torch.Generator().manual_seed((int(key[:12], 16) + sampling.seed) % (1 << 62))
            for key in keys
        ]

    def __call__(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Scores `[rows, vocabulary]` for the rows of these numbers."""
        import torch

        if not self._generators:
            return scores
        for warper in self._warpers:
            scores = warper(None, scores)
        noise = torch.stack(
            [torch.rand(scores.shape[-1], generator=self._generators[row]) for row in rows]
        ).clamp(min=1e-12)
        return scores - (-noise.log()).log().to(scores)


def groups(requests: Sequence[Request], room: Sequence[int]) -> dict[Sampling, list[int]]:
    """Indices of requests that can share a batch: equal settings and equal room in the context.

    `room` is the number of tokens left in the context behind each prompt; a reply may be shorter
    than asked for because of it, and then must not share a batch with longer ones (learned
    positions end there).
    """
    found: dict[Sampling, list[int]] = {}
    for index, (request, left) in enumerate(zip(requests, room, strict=True)):
        s = request.sampling
        sampling = Sampling(
            max_new_tokens=min(s.max_new_tokens, left),
            temperature=s.temperature,
            top_p=s.top_p,
            seed=s.seed,
        )
        found.setdefault(sampling, []).append(index)
    return found
