"""Weights of linear layers in the layout that a CPU's matrix products want, packed once.

A product of a few dozen rows spends up to half of its time on arranging the weights anew, each
time. oneDNN, which comes with torch, takes them arranged; the numbers are those of the plain
layout but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.transformers.mapped_files import MappedFiles

if TYPE_CHECKING:
    import torch

# Logits of the packed model differ by rounding only, as a share of the largest.
ALIKE = 1e-4
# oneDNN and torch keep the code that they make for a product's shape, about half a megabyte each: a
# step has half a dozen shapes, and others whenever a row has ended. Read at the first product.
KEPT_SHAPES = "8"
KEEPERS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def pack(model: Any) -> None:
    """Pack the linear layers of a float32 model on a CPU, in place.

    A packed weight takes the place of the plain one, which `dense` gives back. An embedding, whose
    rows cannot be looked up in a packed one, stays plain: in its file where that is mapped, so
    that only the rows of tokens that occur are in memory. All else is copied from there. Where
    torch cannot, or the model would not say the same (its code may read weights as they are), all
    is left as it was.
    """
    import torch

    for name in KEEPERS:
        os.environ.setdefault(name, KEPT_SHAPES)
    if not _able():
        return
    # Not in inference mode: PEFT sets flags on its parameters, which tensors made there refuse.
    with torch.no_grad():
        before = _logits(model)
        layers = [(layer, layer.weight) for layer in _layers(model)]
        embeddings = {id(m.weight): m for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        mapped = MappedFiles()
        packing = {id(weight) for _, weight in layers} - embeddings.keys()
        # Before the layers, so that the files of these are let go of one after the other.
        for parameter in model.parameters():
            if id(parameter) not in packing:
                plain = parameter.data
                if not mapped.forget(plain) or id(parameter) not in embeddings:
                    parameter.data = plain.clone()
                    mapped.forget(plain)
        for embedding in embeddings.values():
            # A looked up row brings its neighbours along; in time, all of them.
            embedding.register_forward_hook(partial(_forget, mapped, embedding.weight.data))
        while layers:
            layer, weight = layers.pop()
            packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
            layer.forward = partial(_product, packed, layer.bias)
            if id(weight) not in embeddings:
                layer.weight = torch.nn.Parameter(packed, requires_grad=False)
            mapped.forget(weight)
        try:
            change = (_logits(model) - before).abs().max()
            if bool(change <= ALIKE * before.abs().max()) or not bool(before.isfinite().all()):
                return
        except (RuntimeError, AttributeError, NotImplementedError):
            pass
        unpack(model)


def unpack(model: Any) -> None:
    """The plain layout again."""
    import torch

    for layer in _layers(model):
        vars(layer).pop("forward", None)
        layer.weight = torch.nn.Parameter(dense(layer.weight.detach()), requires_grad=False)
    tie = getattr(model, "tie_weights", None)
    if tie is not None:
        tie()


def dense(weight: torch.Tensor) -> torch.Tensor:
    """A weight in the plain layout, packed or not."""
    return weight.to_dense() if weight.is_mkldnn else weight


def _layers(model: Any) -> Iterator[Any]:
    """Linear layers whose weights nothing but their product reads."""
    import torch

    kept: set[int] = set()
    for module in model.modules():
        if hasattr(module, "original_module"):  # the adapter's own, looked at as such
            kept |= set(map(id, module.modules()))
        elif hasattr(module, "base_layer"):
            kept |= set(map(id, module.modules()))
            kept -= {id(module.base_layer)} if _is_plain_lora(module) else set()
    for module in model.modules():
        # Not its subclasses, whose products may be others.
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
    """The product with a gradient for its rows, which oneDNN's has not. What is kept for that is
    the packed weight: plain ones of all layers would be the model a second time."""
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


def _logits(model: Any) -> torch.Tensor:
    import torch

    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = torch.tensor([[(7 * number + 3) % rows for number in range(8)]])
    found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return found


def _able() -> bool:
    """Whether this build of torch has the two operations, tried out."""
    import torch

    rows, weight = torch.ones(2, 3), torch.arange(12.0).view(4, 3)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return torch.equal(dense(packed), weight) and torch.allclose(
            _product(packed, None, rows), rows @ weight.T
        )
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
