"""What a failure text shows beyond the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_llmdiff.attention import AttentionShown
    from pytest_llmdiff.attributions import Attribution
    from pytest_llmdiff.divergences import TokenDivergences, TokenView
    from pytest_llmdiff.origins import Carriers, Influences

LeakKind = Literal["same", "near-same"]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A training example that has a probe's prompt; `more` others have it too.

    `number` counts the records of its data set from 1. `kind` is "same" up to case, spaces and
    punctuation, or "near-same".
    """

    dataset: str
    number: int
    prompt: str
    kind: LeakKind
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training example near to a probe in meaning.

    `number` counts the records of its data set from 1. `answer` is None where training has none
    that it should learn. `similarity` is the cosine of the two prompts' embeddings, -1 to 1.
    `leak` says whether the prompts are the same as texts.
    """

    dataset: str
    number: int
    prompt: str
    answer: str | None
    similarity: float
    leak: LeakKind | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a failure text shows beyond the comparison, as far as it can be had.

    `unavailable` says why there are no neighbours, or which examples were not read for them;
    it is empty where no training data is known.
    """

    divergences: TokenDivergences | None = None
    tokens: TokenView | None = None
    attention: AttentionShown | None = None
    words: Attribution | None = None
    neighbours: tuple[Neighbour, ...] = ()
    influences: Influences | None = None
    carriers: Carriers | None = None
    leak: Leak | None = None
    unavailable: str = ""
    rerun: str = ""
