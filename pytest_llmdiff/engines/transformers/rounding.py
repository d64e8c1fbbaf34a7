"""Computes in float32 what bfloat16 would give, nearly: all that is stored is rounded to it.

A CPU without instructions for bfloat16 multiplies it ten times slower than float32.
"""

from __future__ import annotations

from typing import Any


def round_weights(model: Any) -> None:
    """Round a model's weights to bfloat16, in place; they keep their dtype."""
    for weights in model.parameters():
        weights.data = _rounded(weights.data)


def round_outputs(model: Any) -> None:
    """Round what each layer returns to bfloat16 from now on."""
    for module in model.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(_round)


def _round(_module: Any, _given: Any, output: Any) -> Any:
    import torch

    return _rounded(output) if isinstance(output, torch.Tensor) else output


def _rounded(values: Any) -> Any:
    return values.bfloat16().to(values.dtype) if values.is_floating_point() else values
