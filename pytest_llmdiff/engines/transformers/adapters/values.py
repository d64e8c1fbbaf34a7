"""The values in an adapter's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Values:
    """`not_finite` are tensors with NaN or infinity, `empty` those without elements. `zero` says
    that the adapter adds only zeros to the base."""

    not_finite: list[str]
    empty: list[str]
    zero: bool


def values_of(file: Path) -> Values:
    """Reads the tensors one after the other.

    LoRA starts with B = 0 and stays there if no training step runs.

    Raises:
        ModelError: the file cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    not_finite, empty, zeros, others = [], [], [], []
    try:
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                tensor = tensors.get_tensor(name)
                if not tensor.numel():
                    empty.append(name)
                    continue
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    not_finite.append(name)
                if "lora_B" in name or "lora_embedding_B" in name:
                    zeros.append(not bool(tensor.count_nonzero()))
                elif "lora_" not in name:
                    others.append(name)
    except SafetensorError as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    zero = bool(zeros) and all(zeros) and not others and not empty
    return Values(not_finite=not_finite, empty=empty, zero=zero)
