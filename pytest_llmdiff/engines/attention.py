"""The attention of one layer, as engines return it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LayerAttention:
    """The attention of one layer at the tokens of a reply.

    `weights` `[heads, tokens, keys]` are those of the queries that predict the tokens, float32 on
    the CPU. `norms` `[heads, keys]` is ‖v_j W_O^h‖, the length of the vector that a head passes on
    for a key.
    """

    layer: int
    weights: torch.Tensor
    norms: torch.Tensor

    def weighted(self) -> torch.Tensor:
        """Norm-weighted attention, `[heads, tokens, keys]` in float64: ‖α_ij v_j W_O^h‖, as shares
        that add up to 1 for each query (Kobayashi et al. 2020, arXiv 2004.10102)."""
        return shares(self.weights.double() * self.norms.double()[:, None])

    def plain(self) -> torch.Tensor:
        """The weights, `[heads, tokens, keys]` in float64, as shares that add up to 1."""
        return shares(self.weights.double())


Attended = list[LayerAttention]  # of one model in one pass


def shares(values: torch.Tensor) -> torch.Tensor:
    """Non-negative values as shares of their sum along the last dimension."""
    total = values.sum(-1, keepdim=True)
    return values / total.masked_fill(total == 0, 1.0)
