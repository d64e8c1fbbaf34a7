"""The health of a PEFT adapter: bound to the base, finite, non-zero, and how large."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.engines.transformers.packing import dense
from pytest_llmdiff.engines.transformers.weights import Weights
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch

NO_EFFECT = 1e-6


@dataclass(frozen=True, kw_only=True)
class AdapterHealth:
    """What an adapter's weights say.

    `unbound` are names in the file that bind to no module of the base, `missing` names of the
    bound adapter that the file lacks, `not_finite` tensors with NaN or infinity. `norms` are
    ‖ΔW‖/‖W‖ (Frobenius) of the modules whose update PEFT can state as a matrix.
    """

    unbound: tuple[str, ...]
    missing: tuple[str, ...]
    not_finite: tuple[str, ...]
    norms: dict[str, float]

    def problems(self) -> list[str]:
        found = []
        for names, text in (
            (self.unbound, "of its tensors bind to no module of the base"),
            (self.missing, "tensors that it should have are missing from its file"),
            (self.not_finite, "of its tensors hold NaN or infinity"),
        ):
            if names:
                found.append(f"{len(names)} {text}: {', '.join(names[:3])}")
        if self.norms and max(self.norms.values()) < NO_EFFECT:
            found.append(
                "it changes nothing: the largest relative update ‖ΔW‖/‖W‖ is "
                f"{max(self.norms.values()):.1e}, below {NO_EFFECT:.0e}"
            )
        return found


def require_adapter(engine: Engine, what: str) -> None:
    """Raises CapabilityError unless the engine runs a PEFT adapter over weights that it loads; no
    weights are loaded for that."""
    needed = f"{what} of a PEFT adapter over weights that transformers loads"
    if capability(engine, "reply_gradients") is None:
        raise CapabilityError(f"{needed}, and {type(engine).__name__} has none")
    weights: Weights = capability(engine, "weights")
    if weights.adapter is None:
        raise CapabilityError(f"{needed}, and {weights.path.name} is no adapter")


def adapter_health(weights: Weights) -> AdapterHealth:
    """Check the loaded adapter of `weights` against its file."""
    import torch

    model = weights.load()
    in_file = set(safetensors_header(Path(str(weights.adapter)) / "adapter_model.safetensors"))
    in_file.discard("__metadata__")
    state = promised_tensors(model, in_file)
    with torch.inference_mode():
        not_finite = [name for name, t in state.items() if not bool(torch.isfinite(t).all())]
        norms = dict(_norms(model))
    return AdapterHealth(
        unbound=tuple(sorted(in_file - state.keys())),
        missing=tuple(sorted(state.keys() - in_file)),
        not_finite=tuple(sorted(not_finite)),
        norms=norms,
    )


def promised_tensors(model: Any, in_file: Container[str]) -> dict[str, torch.Tensor]:
    """The tensors that a saved adapter holds, as PEFT names them.

    Embeddings belong to it only where the file has them: they may or may not be saved along. PEFT,
    left to itself, would ask the hub whether the base's vocabulary was changed.
    """
    from peft import get_peft_model_state_dict

    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    along = get_peft_model_state_dict(model, save_embedding_layers=True)
    return state | {name: along[name] for name in along if name in in_file}


def _norms(model: Any) -> Any:
    """Relative update per module, through PEFT's own `get_delta_weight`."""
    for name, module in model.named_modules():
        if not (hasattr(module, "get_delta_weight") and hasattr(module, "get_base_layer")):
            continue
        weight = dense(module.get_base_layer().weight)
        if not weight.is_floating_point():
            continue  # quantised storage: its norm is that of packed integers
        for adapter in module.active_adapters:
            delta = module.get_delta_weight(adapter)
            yield name, float(delta.float().norm() / weight.float().norm().clamp(min=1e-12))
