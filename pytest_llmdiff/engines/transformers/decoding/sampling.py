"""How the next tokens of a batch are drawn, and which requests share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request, Sampling

if TYPE_CHECKING:
    import torch

# The likeliest tokens, which mostly hold the share of `top_p`: a tenth of the work of sorting all.
LIKELIEST = 512


class RowSampling:
    """Scores whose argmax is the next token: the logits themselves, or a draw from their softmax.

    With independent standard Gumbel noise G, argmax(logits + G) is such a draw (the Gumbel-max
    trick, Gumbel 1954). Each row has its own generator, seeded by the run's seed and the request:
    the shared generator of `do_sample` would make a reply depend on its batch.
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
            self._warpers.append(_Nucleus(sampling.top_p, TopPLogitsWarper(sampling.top_p)))
        self._generators = [
            torch.Generator().manual_seed((int(key[:12], 16) + sampling.seed) % (1 << 62))
            for key in keys
        ]

    def __call__(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Scores `[rows, vocabulary]` of the rows with these indices."""
        import torch

        if not self._generators:
            return scores
        for warper in self._warpers:
            scores = warper(None, scores)
        noise = torch.stack(
            [torch.rand(scores.shape[-1], generator=self._generators[row]) for row in rows]
        ).clamp(min=1e-12)
        return scores - (-noise.log()).log().to(scores)


class _Nucleus:
    """The fewest likeliest tokens that hold the share `top_p` (Holtzman et al. 2020), as `whole`
    finds them; that one sorts the vocabulary and is asked for flat distributions alone."""

    def __init__(self, top_p: float, whole: Any) -> None:
        self._top_p = top_p
        self._whole = whole

    def __call__(self, ids: None, scores: torch.Tensor) -> torch.Tensor:
        import torch

        best = scores.topk(min(LIKELIEST, scores.shape[-1]))
        held = (best.values - scores.logsumexp(-1, keepdim=True)).exp()
        above = held.cumsum(-1) - held  # what the likelier tokens hold
        kept = best.values.masked_fill(above >= self._top_p, -torch.inf)
        found = torch.full_like(scores, -torch.inf).scatter(-1, best.indices, kept)
        flat = held.sum(-1) < self._top_p
        if flat.any():
            found[flat] = self._whole(ids, scores[flat])
        return found


def groups(requests: Sequence[Request], room: Sequence[int]) -> dict[Sampling, list[int]]:
    """Indices of requests that can share a batch: equal settings and equal room in the context.

    `room` is the number of tokens left in the context after each prompt. It may cut a reply short,
    which then must not share a batch with longer ones (learned positions end there).
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
