"""Weights of linear layers in the layout that a CPU's matrix products want, packed once.

A product of a few dozen rows spends up to half of its time on arranging the weights anew, each
time. oneDNN, which comes with torch, takes them arranged; the numbers are those of the plain
layout but for rounding.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def pack(model: Any) -> None:
    """Pack the linear layers of a model on a CPU, in place; nothing where torch cannot.

    A packed weight takes the place of the plain one, which `dense` gives back. A weight that an
    embedding shares stays beside it, since rows cannot be looked up in the packed one. What is
    not packed is copied, so that nothing holds on to a file that was mapped as a whole.
    """
    import torch

    if not _able():
        return
    shared = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }
    for module in model.modules():
        # Not its subclasses, whose products may be others.
        if type(module) is not torch.nn.Linear or module.weight.device.type != "cpu":
            continue
        packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), None)
        module.forward = partial(_product, packed, module.bias)  # type: ignore[method-assign]
        if id(module.weight) not in shared:
            module.weight = torch.nn.Parameter(packed, requires_grad=False)
    for parameter in model.parameters():
        if not parameter.is_mkldnn:
            parameter.data = parameter.data.clone()


def dense(weight: torch.Tensor) -> torch.Tensor:
    """A weight in the plain layout, packed or not."""
    return weight.to_dense() if weight.is_mkldnn else weight


def _product(packed: torch.Tensor, bias: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
    import torch

    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return found


def _able() -> bool:
    """Whether this build of torch has the two operations, tried out."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    rows, weight = torch.ones(2, 3), torch.arange(12.0).view(4, 3)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        return torch.equal(dense(packed), weight) and torch.allclose(
            _product(packed, None, rows), rows @ weight.T
        )
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
