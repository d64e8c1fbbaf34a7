"""How large the update of an adapter is, module by module."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.transformers.packing import dense

if TYPE_CHECKING:
    import torch

# The change of a layer's parameters, and the parameters before, by their names.
Change = tuple[Mapping[str, "torch.Tensor"], Mapping[str, "torch.Tensor"]]


@dataclass(frozen=True, kw_only=True)
class Updates:
    """‖ΔW‖/‖W‖ (Frobenius, over all parameters of a layer) of the modules that were measured, and
    why the others were left out."""

    norms: dict[str, float]
    left_out: dict[str, str]


class _LeftOutError(Exception):
    """A module whose update cannot be measured; the message says why."""


def updates_of(model: Any, original: Any = None) -> Updates:
    """The updates of all modules that the active adapter of a PEFT model changes.

    `original` is the base by itself, if the adapter has altered the weights that it wraps: what it
    took out of them is part of its update.
    """
    import torch

    norms: dict[str, float] = {}
    left_out: dict[str, str] = {}
    with quiet(), torch.no_grad():
        for name, module in _adapted(model):
            try:
                before = None if original is None else _counterpart(original, name)
                norms[name] = _ratio(_change(module, before))
            except _LeftOutError as reason:
                left_out[name] = str(reason)
            except Exception as error:  # PEFT's kinds raise errors of any kind
                left_out[name] = f"PEFT cannot merge it: {error or type(error).__name__}"
    if not norms and not left_out:
        kind = model.active_peft_config.peft_type
        left_out["the adapter"] = (
            f"{getattr(kind, 'value', kind)} changes no weight of the base that could be compared"
        )
    return Updates(norms=norms, left_out=left_out)


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        saved = hasattr(module, "modules_to_save") and hasattr(module, "original_module")
        if saved or (isinstance(module, BaseTunerLayer) and hasattr(module, "base_layer")):
            yield name, module


def _counterpart(original: Any, name: str) -> Any:
    """The module of the base that an adapter's module wraps."""
    try:
        return original.get_submodule(
            name.removeprefix("base_model.model.").replace(".base_layer", "")
        )
    except AttributeError as error:
        raise _LeftOutError("the base by itself has no such module") from error


def _change(module: Any, before: Any) -> Change:
    if hasattr(module, "original_module"):
        return _of_saved(module)
    for parameter in module.get_base_layer().parameters():
        if parameter.is_meta:
            raise _LeftOutError("its weights are not in memory")
        if not parameter.is_floating_point():
            raise _LeftOutError("its weights are quantised")
    if hasattr(module, "lora_A") and not getattr(module, "lora_variant", None):
        return _of_product(module, before)
    return _of_merged(module, before)


def _of_saved(module: Any) -> Change:
    """A module that was trained in full and saved along. Rows that one of both lacks do not count:
    they were added or cut, not changed."""
    before = {n: dense(p) for n, p in module.original_module.named_parameters()}
    after = dict(module.modules_to_save[module.active_adapters[0]].named_parameters())
    change, common = {}, {}
    for name in sorted(before.keys() & after.keys()):
        rows = min(len(before[name]), len(after[name]))
        common[name] = before[name][:rows].float()
        change[name] = dense(after[name])[:rows].float() - common[name]
    return change, common


def _of_product(module: Any, before: Any) -> Change:
    """LoRA adds a product of two matrices, so the layer need not be merged, and may be packed."""
    name = getattr(module, "parameter_name", None) or "weight"
    weight = dense(getattr(module.get_base_layer(), name)).float()
    delta = sum(module.get_delta_weight(a).float() for a in module.active_adapters)
    base = weight if before is None else dense(getattr(before, name)).float()
    return {name: delta + (weight - base)}, {name: base}


def _of_merged(module: Any, before: Any) -> Change:
    """Every other kind is merged into a copy in float32, where small changes are not rounded off.

    Raises:
        _LeftOutError: PEFT cannot merge this kind.
    """
    if not hasattr(module, "merge"):
        raise _LeftOutError("PEFT cannot merge it")
    merged = copy.deepcopy(module).float()
    layer = merged.get_base_layer()
    start = layer if before is None else before
    base = {name: dense(p).float().clone() for name, p in start.named_parameters()}
    merged.merge(adapter_names=list(module.active_adapters))
    if not merged.merged_adapters:
        raise _LeftOutError("PEFT does not merge it")
    after = dict(merged.get_base_layer().named_parameters())
    # Some kinds add a bias to a layer that has none.
    change = {n: p - base[n] if n in base else p for n, p in after.items()}
    return change, base


def _ratio(change: Change) -> float:
    delta, weight = (
        math.hypot(*(float(tensor.norm()) for tensor in part.values())) for part in change
    )
    return delta / max(weight, 1e-12)
