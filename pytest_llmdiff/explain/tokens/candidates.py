"""The tokens that either of two models finds likely at each place of a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CANDIDATES = 5  # of each model
LEAST = 0.005  # probability under either model from which on a candidate is kept for the reports
ROWS = 128  # tokens whose probabilities are held at once

Candidate = tuple[str, float, float]


def candidates(
    base: torch.Tensor, tuned: torch.Tensor, used: int, text_of: Callable[[int], str]
) -> list[list[Candidate]]:
    """For each row of the logits `[tokens, vocabulary]`, the likeliest tokens of both models
    together: text, and probability under base and under tuned model.

    A token that a model has not has probability 0 there; the base's rows from `used` on are
    padding where the tuned model has not as many.
    """
    import torch

    width = max(min(base.shape[-1], tuned.shape[-1]), used)
    found = []
    for start in range(0, len(base), ROWS):
        part = slice(start, start + ROWS)
        ours = base[part, :width].float().softmax(-1)
        sides = [ours, tuned[part].to(ours.device).float().softmax(-1)]
        best = torch.cat(
            [side.topk(min(CANDIDATES, side.shape[-1])).indices for side in sides], dim=-1
        )
        chances = [
            side.gather(-1, best.clamp(max=side.shape[-1] - 1)).masked_fill(
                best >= side.shape[-1], 0.0
            )
            for side in sides
        ]
        for tokens, *both in zip(best.tolist(), *(c.tolist() for c in chances), strict=True):
            distinct = {token: (p, q) for token, p, q in zip(tokens, *both, strict=True)}
            found.append([(text_of(token), p, q) for token, (p, q) in distinct.items()])
    return found


def likely(found: Sequence[Candidate], place: int) -> list[Candidate]:
    """The likeliest under the first (0) or the second model (1)."""
    return sorted(found, key=lambda each: -each[1:][place])[:CANDIDATES]


def shown(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that say something, the likeliest under either model first; at least one of each."""
    first = {likely(found, place)[0] for place in (0, 1)}
    kept = [each for each in found if each in first or max(each[1:]) >= LEAST]
    return sorted(kept, key=lambda each: -max(each[1:]))
