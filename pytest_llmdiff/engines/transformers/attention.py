"""Reads a model's attention during a forward pass, layer by layer.

transformers lets one register an attention function by name. Ours calls the eager function of the
architecture, so that grouped queries, soft caps and sinks are computed as always, and records the
attention weights.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.attention import LayerAttention
from pytest_llmdiff.engines.transformers.decoding.padded import left_padded
from pytest_llmdiff.engines.transformers.weights import input_device
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch


NAME = "llmdiff"
# Names of the output projection, in the architectures of transformers.
OUTPUTS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "o", "proj")
# A pass of another shape has a second row, longer by this many tokens.
LONGER = 5


class AttentionTap:
    """Reads the attention of one side. The Gram matrices of its output projections are cached."""

    def __init__(self) -> None:
        self._grams: dict[int, torch.Tensor] = {}

    def taken(
        self, model: Any, item: Continuation, layers: Container[int], *, again: bool = False
    ) -> list[LayerAttention]:
        """Attention of the given layers, from a pass over one prompt and reply.

        Each sequence runs by itself, so that batch composition cannot change the result. With
        `again` the pass has another shape; a difference is then rounding.

        Raises:
            CapabilityError: the architecture does not use the attention interface.
        """
        ids = [*item.prompt_ids, *item.reply_ids[:-1]]
        rows = [ids, ids + ids[-1:] * LONGER] if again else [ids]
        found: list[LayerAttention] = []
        attending = False
        first = max(map(len, rows)) - len(ids)
        queries = slice(first + len(item.prompt_ids) - 1, None)

        def take(module: Any, layer: int, value: torch.Tensor, weights: torch.Tensor) -> None:
            nonlocal attending
            attending = True
            if layer not in layers:
                return
            if any(other.layer == layer for other in found):  # two calls: which heads are unclear
                raise CapabilityError(_elsewhere(base))
            held = weights[0, :, queries, first:].float().cpu()
            norms = self._norms(module, layer, value[0, :, first:], len(held))
            found.append(LayerAttention(layer=layer, weights=held, norms=norms.cpu()))

        with tapped(model, take) as base:
            read(base, model, rows)
        if not attending:
            raise CapabilityError(_elsewhere(base))
        return found

    def _norms(self, module: Any, layer: int, value: torch.Tensor, heads: int) -> torch.Tensor:
        """‖v_j W_O^h‖ `[heads, keys]` of values `[key/value heads, keys, width]`.

        Its square is v G vᵀ with the Gram matrix G = W_O^h W_O^hᵀ, small and the same for all keys.
        """
        import torch

        if layer not in self._grams:
            self._grams[layer] = _gram(module, heads, value)
        own = value.float().repeat_interleave(heads // len(value), 0)
        gram = self._grams[layer].to(own.device)
        return torch.einsum("htd,hde,hte->ht", own, gram, own).clamp(min=0).sqrt()


def read(base: Any, model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """The output of a pass over left-padded rows of tokens; with logits of the last token only,
    where the architecture (of `base`) supports that."""
    accepted = inspect.signature(base.forward).parameters
    ids, mask = left_padded(rows, rows[0][0], input_device(model))
    options: dict[str, Any] = {"use_cache": False}
    if "position_ids" in accepted:
        options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    if "logits_to_keep" in accepted:
        options["logits_to_keep"] = 1
    return model(input_ids=ids, attention_mask=mask, **options)


@contextmanager
def tapped(model: Any, take: Any) -> Iterator[Any]:
    """Yields the model without PEFT's wrapper. While the context is open, each layer calls `take`
    with its module, its number, values and attention weights.

    Raises:
        CapabilityError: the architecture does not use the attention interface.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = base.config._attn_implementation
    calls = 0

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        nonlocal calls
        home = sys.modules.get(type(module).__module__)
        eager = getattr(home, "eager_attention_forward", None)
        if eager is None:
            raise CapabilityError(_elsewhere(base))
        output, weights = eager(module, query, key, value, mask, **options)
        layer = getattr(module, "layer_idx", None)
        take(module, calls if layer is None else int(layer), value, weights)
        calls += 1
        return output, weights

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, AttentionMaskInterface()["eager"])
    try:
        with quiet():
            base.set_attn_implementation(NAME)
        if base.config._attn_implementation != NAME:
            raise CapabilityError(_elsewhere(base))
        yield base
    finally:
        # So that the registry does not keep `take`, and what it holds, alive.
        AttentionInterface.register(NAME, _closed)
        with quiet():
            base.set_attn_implementation(before)


def _closed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the attention is no longer being read")


def _elsewhere(model: Any) -> str:
    return (
        f"{type(model).__name__} does not compute its attention through the attention interface of "
        "transformers, so it cannot be read"
    )


def _gram(module: Any, heads: int, value: torch.Tensor) -> torch.Tensor:
    """W_O^h W_O^hᵀ of each head, `[heads, width, width]` in float32.

    W_O is the output projection of an identity matrix. That works for packed, quantised and adapted
    layers too, with the adapter on or off.
    """
    import torch

    width = value.shape[-1]
    project = _output_projection(module, heads * width)
    rows = torch.eye(heads * width, dtype=value.dtype, device=value.device)
    bias = project(torch.zeros_like(rows[:1]))
    found = []
    for head in rows.split(width):  # type: ignore[no-untyped-call]
        own = (project(head) - bias).float()  # W_O^h, [width, hidden]
        found.append(own @ own.T)
    return torch.stack(found)


def _output_projection(module: Any, size: int) -> Any:
    """The output projection of an attention module.

    Raises:
        CapabilityError: it has no layer of a known name with `size` inputs.
    """
    children = dict(module.named_children())
    for name in OUTPUTS:
        child = children.get(name)
        if child is not None and _inputs(child) in (size, None):
            return child
    raise CapabilityError(
        f"the output projection of {type(module).__name__} is not known, so attention cannot be "
        "weighted by the norms of what it passes on"
    )


def _inputs(layer: Any) -> int | None:
    """The number of inputs of a linear layer, None if unknown."""
    inputs = getattr(layer, "in_features", None)
    if inputs is None and hasattr(layer, "nf"):  # Conv1D of GPT-2
        inputs = layer.weight.shape[0]
    return None if inputs is None else int(inputs)
