"""The attention of one layer, as an engine hands it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LayerAttention:
    """The attention of one layer at the tokens of a reply.

    `weights` `[heads, tokens, keys]` are those of the queries that predict the tokens, float32 in
    the memory of the CPU; `norms` `[heads, keys]` how long what a head passes on of a key is,
    ‖v_j W_O^h‖.
    """

    layer: int
    weights: torch.Tensor
    norms: torch.Tensor

    def weighted(self) -> torch.Tensor:
        """Of each query, the shares of its keys in what it is passed on, `[heads, tokens, keys]`
        in float64: ‖α_ij v_j W_O^h‖, that add up to 1 (Kobayashi et al. 2020, arXiv 2004.10102)."""
        return shares(self.weights.double() * self.norms.double()[:, None])

    def plain(self) -> torch.Tensor:
        """The weights themselves, `[heads, tokens, keys]` in float64, that add up to 1."""
        return shares(self.weights.double())


Attended = list[LayerAttention]  # by one model in one pass


def shares(found: torch.Tensor) -> torch.Tensor:
    """Numbers from 0 up, as shares of their sum along the last dimension."""
    total = found.sum(-1, keepdim=True)
    return found / total.masked_fill(total == 0, 1.0)
