"""What a failure text shows beyond the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmdiff.explain.training.values import Leak, Neighbour

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences, TokenView
    from pytest_llmdiff.explain.attention.values import AttentionShown
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.carriers import Carriers
    from pytest_llmdiff.explain.training.values import Influences


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
