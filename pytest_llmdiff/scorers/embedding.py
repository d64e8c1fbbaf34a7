"""Semantic distance: the cosine distance of sentence embeddings, for scorers that have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.scorers import Embedding

# With a larger share of unknown tokens, an encoder has not read the text. MiniLM, which is English,
# has 66 % in Chinese text and 100 % in emoji.
UNKNOWN_SHARE = 0.3
EMPTY = "an empty reply has no meaning to compare"


def unknown_words(tokenizer: Any, ids: Sequence[int]) -> str | None:
    """Why a model with this tokenizer cannot read a text, given its token ids; or None."""
    return unknown_share(sum(i == tokenizer.unk_token_id for i in ids), len(ids))


def unknown_share(unknown: int, tokens: int) -> str | None:
    """The same, given how many of a text's tokens are unknown."""
    share = unknown / max(1, tokens)
    if share > UNKNOWN_SHARE:
        return f"{share:.0%} of its tokens are unknown to the encoder; use a multilingual one"
    return None


def embeddings(
    reasons: Sequence[str | None], vectors: Sequence[Sequence[float]]
) -> list[Embedding]:
    """Embeddings in order; `vectors` are those of the texts without a reason against them."""
    left = iter(vectors)
    return [
        Embedding(vector=next(left)) if reason is None else Embedding(unsupported=reason)
        for reason in reasons
    ]


def distances(
    inputs: Sequence[tuple[str, ...]], embed: Callable[[Sequence[str]], list[Embedding]]
) -> list[Score]:
    texts = sorted({text for pair in inputs if pair[0] != pair[1] for text in pair})
    found = dict(zip(texts, embed(texts), strict=True))
    return [_distance(pair, found) for pair in inputs]


def _distance(pair: tuple[str, ...], found: Mapping[str, Embedding]) -> Score:
    if pair[0] == pair[1]:
        return Score(value=0.0)
    vectors = []
    for side, text in zip(("base", "tuned"), pair, strict=True):
        if (vector := found[text].vector) is None:
            return Score(value=None, unsupported=f"the {side} reply: {found[text].unsupported}")
        vectors.append(vector)
    return Score(value=cosine_distance(*vectors))


def cosine_distance(a: Sequence[float], b: Sequence[float]) -> float:
    """1 − a·b / (‖a‖‖b‖), 0 to 2; NaN for a vector of zeros or one that is not finite."""
    norms = math.hypot(*a) * math.hypot(*b)
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    if not (norms and math.isfinite(norms)):
        return math.nan
    return min(2.0, max(0.0, 1 - dot / norms))
