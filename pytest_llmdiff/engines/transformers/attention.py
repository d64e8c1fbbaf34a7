"""What the attention of a model does in a forward pass, taken a layer at a time.

transformers lets an attention function be registered by name. Ours hands over to the eager
function of the architecture itself, so that grouped queries, soft caps and sinks are what they are
there, and keeps what was asked for of its weights.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
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
# What the layer that adds the heads up is called, in the architectures of transformers.
OUTPUTS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "o", "proj")
# A pass of the other shape has a second row, longer by so many tokens.
LONGER = 5


class AttentionTap:
    """Attention of one side. What its output projections are made of is computed once."""

    def __init__(self) -> None:
        self._grams: dict[int, torch.Tensor] = {}

    def taken(
        self, model: Any, item: Continuation, layers: range, *, again: bool = False
    ) -> list[LayerAttention]:
        """Of the given layers, by a pass over one prompt and reply.

        Every sequence runs by itself, so that no other one can tell on it. With `again` the pass
        has another shape: what differs then is rounding.

        Raises:
            CapabilityError: the architecture computes its attention elsewhere.
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
            if any(other.layer == layer for other in found):  # what belongs to which head is open
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

        Its square is v G vᵀ with G = W_O^h W_O^hᵀ, which is small and the same for every key.
        """
        import torch

        if layer not in self._grams:
            self._grams[layer] = _gram(module, heads, value)
        own = value.float().repeat_interleave(heads // len(value), 0)
        gram = self._grams[layer].to(own.device)
        return torch.einsum("htd,hde,hte->ht", own, gram, own).clamp(min=0).sqrt()


def read(base: Any, model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """What a pass over rows of tokens gives, the shorter ones behind padding; logits of the last
    token only, where the architecture (that of `base`) can do without the others."""
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
    """The model without the adapter's wrapping; `take` is called with module, number of the layer,
    values and weights of every layer that attends, while the context is open.

    Raises:
        CapabilityError: the architecture does not look its attention function up.
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
        # A later pass finds ours no more, and what was taken is not kept alive by it.
        AttentionInterface.register(NAME, _closed)
        with quiet():
            base.set_attn_implementation(before)


def _closed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the attention is not being looked at any more")


def _elsewhere(model: Any) -> str:
    return (
        f"{type(model).__name__} does not compute its attention through the attention interface of "
        "transformers, so that it cannot be looked at"
    )


def _gram(module: Any, heads: int, value: torch.Tensor) -> torch.Tensor:
    """W_O^h W_O^hᵀ of each head, `[heads, width, width]` in float32.

    W_O is what the output projection makes of an identity: the same for packed, quantised and
    adapted layers, the adapter as it is switched now.
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
    """The layer of an attention module that makes one vector of what its heads give.

    Raises:
        CapabilityError: it has none of a known name and of that many inputs.
    """
    children = dict(module.named_children())
    for name in OUTPUTS:
        child = children.get(name)
        if child is not None and _inputs(child) in (size, None):
            return child
    raise CapabilityError(
        f"the output projection of {type(module).__name__} is not known: attention cannot be "
        "weighted by the length of what it passes on"
    )


def _inputs(layer: Any) -> int | None:
    """How many inputs a linear layer has, where it tells: Conv1D of GPT-2 tells by its weight."""
    told = getattr(layer, "in_features", None)
    if told is None and hasattr(layer, "nf"):
        told = layer.weight.shape[0]
    return None if told is None else int(told)
