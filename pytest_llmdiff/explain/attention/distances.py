"""The attention of two models reduced to a few numbers: divergences, shares, entropies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.attention import Attended

if TYPE_CHECKING:
    import torch

OTHER_HEADS = "base and tuned model have different numbers of layers or heads"


class ShiftSums:
    """Sums the numbers of a view of attention over the layers of two models."""

    def __init__(self, prompt: int) -> None:
        self._prompt = prompt
        self._unlike = False
        self._layers: list[int] = []
        self._by_head: list[torch.Tensor] = []  # of each layer, [heads, tokens]
        # Of base and tuned model: of each layer, [heads].
        self._spread: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        self._sums: dict[str, Any] = {}

    def add(self, base: Attended, tuned: Attended, again: Attended) -> None:
        """Add layers of the base, the tuned model, and the base in a pass of another shape."""
        if not alike(base, tuned):
            self._unlike = True
            return
        for ours, theirs, same in zip(base, tuned, again, strict=True):
            before, after = ours.weighted(), theirs.weighted()
            self._layers.append(ours.layer)
            self._by_head.append(divergence_bits(before, after))
            for spread, side in zip(self._spread, (before, after), strict=True):
                spread.append(entropy_bits(side).mean(-1))
            plain = [ours.plain(), theirs.plain()]
            # Means over heads and tokens.
            for name, value in (
                ("plain", divergence_bits(*plain).mean()),
                ("noise", divergence_bits(before, same.weighted()).mean()),
                ("entropy", [entropy_bits(side).mean() for side in plain]),
                ("sink", [side[..., 0].mean() for side in plain]),
                ("mass", [side[..., : self._prompt].mean((0, 1)) for side in (before, after)]),
            ):
                sides = value if isinstance(value, list) else [value]
                sums = self._sums.setdefault(name, [0.0] * len(sides))
                self._sums[name] = [a + b for a, b in zip(sums, sides, strict=True)]

    def row(self) -> dict[str, Any]:
        """`AttentionView` as plain JSON, without the texts of the tokens."""
        if self._unlike:
            return {"unsupported": OTHER_HEADS}
        import torch

        moved = torch.stack(self._by_head)  # [layers, heads, tokens]
        means = {
            name: [rounded(side / len(moved)) for side in sides]
            for name, sides in self._sums.items()
        }
        return {
            "shift": rounded(moved.mean()),
            "plain": means["plain"][0],
            "noise": means["noise"][0],
            "layers": self._layers,
            "by_head": rounded(moved.mean(-1)),
            "spread": [rounded(torch.stack(side)) for side in self._spread],
            "by_token": rounded(moved.mean((0, 1))),
            "entropy": means["entropy"],
            "sink": means["sink"],
            "mass": means["mass"],
        }


def moves_row(base: dict[int, torch.Tensor], tuned: dict[int, torch.Tensor]) -> dict[str, Any]:
    """`Moves` as plain JSON, from the move of each head by layer."""
    import torch

    sides = [torch.cat([*side.values()]) for side in (base, tuned)]
    most = None
    if [(n, len(heads)) for n, heads in base.items()] == [(n, len(h)) for n, h in tuned.items()]:
        more = {layer: tuned[layer] - base[layer] for layer in base}
        layer = max(more, key=lambda layer: float(more[layer].max()))
        most = [layer, int(more[layer].argmax()), rounded(more[layer].max())]
    return {"base": rounded(sides[0].mean()), "tuned": rounded(sides[1].mean()), "most": most}


def alike(ours: Attended, theirs: Attended) -> bool:
    shapes = [[(part.layer, part.weights.shape) for part in side] for side in (ours, theirs)]
    return shapes[0] == shapes[1]


def fold(shares: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """Shares `[..., keys]`, with the keys from `begin` to `end` added up into one."""
    import torch

    span = shares[..., begin:end].sum(-1, keepdim=True)
    return torch.cat([shares[..., :begin], span, shares[..., end:]], -1)


def divergence_bits(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Jensen–Shannon divergence along the last dimension, in bits: 0 to 1 (Lin 1991)."""
    middle = (p + q) / 2
    halves = [entropy_bits(side) for side in (p, q)]
    return (entropy_bits(middle) - (halves[0] + halves[1]) / 2).clamp(0, 1)


def entropy_bits(p: torch.Tensor) -> torch.Tensor:
    """Entropy along the last dimension, in bits (Shannon 1948)."""
    import torch

    return -torch.xlogy(p, p).sum(-1) / torch.log(torch.tensor(2.0, dtype=p.dtype))


def rounded(tensor: torch.Tensor) -> Any:
    """A tensor as plain JSON with six digits a number: a prompt has hundreds of numbers."""
    return _shortened(tensor.tolist())


def _shortened(values: Any) -> Any:
    return [*map(_shortened, values)] if isinstance(values, list) else float(f"{values:.6g}")
