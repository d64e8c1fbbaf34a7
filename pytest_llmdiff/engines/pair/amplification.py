"""Samples from tuned + α · (tuned − base), in log-probabilities (Aranguri & McGrath 2025).

What tuning made a little likelier becomes likely, so that a rare change shows in few samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.vocabularies import unlike_tokenizers
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch

# Token ids for the base, and for the tuned model.
Prompts = Sequence[tuple[Sequence[int], Sequence[int]]]

STRENGTH = 1.0  # α
# A token takes part if the tuned model itself gives it this share of its likeliest one's
# probability: among the others, the quotient of two tiny probabilities would decide (contrastive
# decoding has the same bound, Li et al. 2022, arXiv 2210.15097).
PLAUSIBLE = 0.01


def check_amplifiable(pair: Pair, prompts: Prompts, most: int) -> None:
    """Raises CapabilityError, with the reason, where `amplified` cannot work for up to `most`
    tokens."""
    sides: list[Any] = [pair.base, pair.tuned]
    for side in sides:
        if capability(side, "steps") is None:
            raise CapabilityError(f"{type(side).__name__} cannot be sampled along another model")
    if (reason := unlike_tokenizers(pair.base, pair.tuned)) is not None:
        raise CapabilityError(reason)
    if not all(ids for both in prompts for ids in both):
        raise CapabilityError("there is nothing before the user's own text in a template")
    if not pair.fits:  # before either is loaded by what follows
        raise CapabilityError("both models do not fit in memory together")
    for side in sides:
        if (reason := side.loop_check.unserved) is not None:
            raise CapabilityError(reason)
    longest = most + max(len(ids) for both in prompts for ids in both)
    room = min(min(side.context_length(), side.window or math.inf) for side in sides)
    if longest > room:
        raise CapabilityError(f"{longest} tokens are too many for a context of {room}")


def amplified(
    pair: Pair,
    prompts: Prompts,
    keys: Sequence[str],
    sampling: Sampling,
) -> list[str | None]:
    """Texts that follow prompts, up to a stop token of the tuned model; None for one that does not
    end by itself. `keys` (hexadecimal) seed the rows.

    Raises:
        CapabilityError: the models cannot be sampled together.
    """
    import torch

    from pytest_llmdiff.engines.transformers.decoding.sampling import RowSampling

    check_amplifiable(pair, prompts, sampling.max_new_tokens)
    ours: Any = pair.base
    theirs: Any = pair.tuned
    stops = set(theirs.stop_ids())
    longest = max(len(ids) for both in prompts for ids in both)
    base, tuned = (
        side.steps(len(prompts), longest + sampling.max_new_tokens) for side in (ours, theirs)
    )
    draw, rows = RowSampling(sampling, keys), range(len(prompts))
    found: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    feeds: tuple[list[Sequence[int]], list[Sequence[int]]]
    feeds = [own for own, _ in prompts], [own for _, own in prompts]
    with torch.inference_mode():
        for _ in range(sampling.max_new_tokens):
            scores = amplified_scores(base(feeds[0]), tuned(feeds[1]))
            tokens = draw(scores, rows).argmax(-1).tolist()
            for row, token in enumerate(tokens):
                if not ended[row]:
                    found[row].append(token)
                    ended[row] = token in stops
            if all(ended):
                break
            following: list[Sequence[int]] = [[token] for token in tokens]
            feeds = following, following
    return [
        str(theirs.tokenizer.decode(tokens[:-1], skip_special_tokens=True)) if done else None
        for tokens, done in zip(found, ended, strict=True)
    ]


def amplified_scores(base: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor:
    """The amplified log-probabilities `[rows, vocabulary]`, up to a constant of each row, −inf
    where a token is not plausible, from the logits of both models."""
    width = min(base.shape[-1], tuned.shape[-1])
    ours, theirs = base[:, :width].float(), tuned[:, :width].float()
    scores = theirs + STRENGTH * (theirs - ours)
    least = theirs.max(-1, keepdim=True).values + math.log(PLAUSIBLE)
    return scores.masked_fill(theirs < least, -math.inf)
