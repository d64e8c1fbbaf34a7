"""Packs the weights of linear layers once, in the layout that matrix products on a CPU need.

Otherwise a product of a few dozen rows spends up to half of its time on rearranging the weights,
each time. oneDNN, which comes with torch, accepts packed weights. The results differ from those of
the plain layout by rounding only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.transformers.mapped_files import MappedFiles

if TYPE_CHECKING:
    import torch

# Allowed difference of the packed model's logits, as a share of the largest: rounding only.
ALIKE = 1e-4
# oneDNN and torch cache the code that they generate for a product's shape, about half a megabyte
# each. A step has half a dozen shapes, and new ones whenever a row has ended. These variables are
# read at the first product.
CACHED_SHAPES = "8"
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def pack(model: Any) -> Callable[[], None]:
    """Pack the linear layers of a float32 model on a CPU, in place; what is returned undoes it.

    A packed weight replaces the plain one; `dense` converts it back. An embedding stays plain,
    because its rows cannot be looked up in packed form: it stays in its mapped file, so that only
    the rows of tokens that occur are in memory. All else is copied out of the file. If torch cannot
    pack, or the model's logits change (its code may read the weights directly), nothing is packed.
    """
    import torch

    for name in CACHES:
        os.environ.setdefault(name, CACHED_SHAPES)
    if not _able():
        return _nothing
    # Not in inference mode: PEFT sets flags on its parameters, which tensors made there refuse.
    with torch.no_grad():
        before = fixed_logits(model)
        layers = [(layer, layer.weight) for layer in _layers(model)]
        embeddings = {id(m.weight): m for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        mapped, done = MappedFiles(), _Packed()
        packing = {id(weight) for _, weight in layers} - embeddings.keys()
        # Before the layers, so that their files can be released one after the other.
        for parameter in model.parameters():
            if id(parameter) not in packing:
                plain = parameter.data
                if not mapped.forget(plain) or id(parameter) not in embeddings:
                    parameter.data = plain.clone()
                    mapped.forget(plain)
        for embedding in embeddings.values():
            # A lookup also brings neighbouring rows into memory, in time all of them.
            forget = partial(_forget, mapped, embedding.weight.data)
            done.hooks.append(embedding.register_forward_hook(forget))
        while layers:
            layer, weight = layers.pop()
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            layer.forward = partial(_product, packed, layer.bias)
            done.layers.append((layer, id(weight)))
            if id(weight) not in embeddings:
                layer.weight = torch.nn.Parameter(packed, requires_grad=False)
            mapped.forget(weight)
        try:
            change = (fixed_logits(model) - before).abs().max()
            if bool(change <= ALIKE * before.abs().max()) or not bool(before.isfinite().all()):
                return done.undo
        except (RuntimeError, AttributeError, NotImplementedError):
            pass
        done.undo()
        return _nothing


@dataclass(kw_only=True)
class _Packed:
    """The layers that were packed, each with the identity of its weight, and hooks that were set.
    Layers that shared a weight share one again."""

    layers: list[tuple[Any, int]] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)

    def undo(self) -> None:
        """Restore the plain layout."""
        import torch

        plain: dict[int, torch.nn.Parameter] = {}
        while self.layers:
            layer, shared = self.layers.pop()
            vars(layer).pop("forward", None)
            if layer.weight.is_mkldnn:
                if shared not in plain:
                    weight = dense(layer.weight.detach())
                    plain[shared] = torch.nn.Parameter(weight, requires_grad=False)
                layer.weight = plain[shared]
        while self.hooks:
            self.hooks.pop().remove()


def _nothing() -> None:
    """Undoes nothing, where nothing was packed."""


def dense(weight: torch.Tensor) -> torch.Tensor:
    """A weight in the plain layout, packed or not."""
    return weight.to_dense() if weight.is_mkldnn else weight


def _layers(model: Any) -> Iterator[Any]:
    """Linear layers whose weights are read by their matrix product only."""
    import torch

    kept: set[int] = set()
    for module in model.modules():
        if hasattr(module, "original_module"):  # the adapter reads these weights
            kept |= set(map(id, module.modules()))
        elif hasattr(module, "base_layer"):
            kept |= set(map(id, module.modules()))
            kept -= {id(module.base_layer)} if _is_plain_lora(module) else set()
    for module in model.modules():
        # Not subclasses, which may compute something else.
        if type(module) is torch.nn.Linear and id(module) not in kept:
            yield module


def _is_plain_lora(module: Any) -> bool:
    """DoRA and other methods than LoRA read the weights that they adapt."""
    return hasattr(module, "lora_A") and not getattr(module, "lora_variant", None)


def _product(packed: torch.Tensor, bias: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
    import torch

    if torch.is_grad_enabled() and rows.requires_grad:
        differentiable: torch.Tensor = _differentiable().apply(packed, bias, rows)
        return differentiable
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return found


@cache
def _differentiable() -> Any:
    """The product with a gradient for its rows, which oneDNN's lacks. The backward pass keeps the
    packed weight: plain weights of all layers would be a second copy of the model."""
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, packed: Any, bias: Any, rows: Any) -> Any:
            ctx.packed = packed
            return _product(packed, bias, rows)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return None, None, gradients[0] @ dense(ctx.packed)

    return Product


def _forget(mapped: MappedFiles, rows: torch.Tensor, *_: object) -> None:
    mapped.forget(rows)


def fixed_logits(model: Any) -> torch.Tensor:
    """Logits `[1, 8, vocabulary]` of fixed token ids, to compare a model with what it was."""
    import torch

    embeddings = model.get_input_embeddings().weight
    rows = int(embeddings.shape[0])
    ids = torch.tensor([[(7 * number + 3) % rows for number in range(8)]], device=embeddings.device)
    found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return found


def _able() -> bool:
    """Whether both operations work in this build of torch."""
    import torch

    rows, weight = torch.ones(2, 3), torch.arange(12.0).view(4, 3)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return torch.equal(dense(packed), weight) and torch.allclose(
            _product(packed, None, rows), rows @ weight.T
        )
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
