"""The state of a PEFT adapter: does it bind to the base, is it finite and non-zero."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.transformers.adapters.binding import binding
from pytest_llmdiff.engines.transformers.adapters.updates import Updates, updates_of
from pytest_llmdiff.engines.transformers.adapters.values import values_of
from pytest_llmdiff.engines.transformers.weights import Weights
from pytest_llmdiff.errors import CapabilityError

if TYPE_CHECKING:
    import torch

NO_EFFECT = 1e-6


@dataclass(frozen=True, kw_only=True)
class AdapterHealth:
    """What an adapter's weights show.

    `unbound` are names in the file that match no module of the base, `missing` are names that the
    file lacks, `not_finite` are tensors with NaN or infinity. `norms` are ‖ΔW‖/‖W‖ (Frobenius) of
    the modules whose update can be measured; `left_out` has the others, with the reason.
    """

    unbound: tuple[str, ...]
    missing: tuple[str, ...]
    not_finite: tuple[str, ...]
    norms: dict[str, float]
    left_out: dict[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        found = []
        for names, text in (
            (self.unbound, "of its tensors bind to no module of the base"),
            (self.missing, "tensors that it should have are missing from its file"),
            (self.not_finite, "of its tensors hold NaN or infinity"),
        ):
            if names:
                found.append(f"{len(names)} {text}: {', '.join(names[:3])}")
        # What was left out may have changed.
        if self.norms and not self.left_out and max(self.norms.values()) < NO_EFFECT:
            found.append(
                "it changes nothing: the largest relative update ‖ΔW‖/‖W‖ is "
                f"{max(self.norms.values()):.1e}, below {NO_EFFECT:.0e}"
            )
        return found


def require_adapter(engine: Engine, what: str) -> None:
    """Raises CapabilityError unless the engine runs a PEFT adapter over weights that it loads
    itself. No weights are loaded to find out."""
    needed = f"{what} of a PEFT adapter over weights that transformers loads"
    if capability(engine, "reply_gradients") is None:
        raise CapabilityError(f"{needed}, and {type(engine).__name__} has none")
    weights: Weights = capability(engine, "weights")
    if weights.adapter is None:
        raise CapabilityError(f"{needed}, and {weights.path.name} is not an adapter")


def adapter_health(weights: Weights) -> AdapterHealth:
    """Check the loaded adapter of `weights` against its file."""
    model, folder = weights.load(), Path(str(weights.adapter))
    bound, updates = binding(model, folder), _updates(weights, model)
    return AdapterHealth(
        unbound=bound.unbound,
        missing=bound.missing,
        not_finite=tuple(values_of(folder / "adapter_model.safetensors").not_finite),
        norms=updates.norms,
        left_out=updates.left_out,
    )


def promised_tensors(model: Any, in_file: Container[str]) -> dict[str, torch.Tensor]:
    """The tensors that a saved adapter should have, by PEFT's names.

    Embeddings are saved with some adapters only, so they count where the file has them. By default,
    PEFT would ask the hub whether the base's vocabulary was changed.
    """
    from peft import get_peft_model_state_dict

    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    everything = get_peft_model_state_dict(model, save_embedding_layers=True)
    return state | {name: everything[name] for name in everything if name in in_file}


def _updates(weights: Weights, model: Any) -> Updates:
    """The updates beside the base by itself, if the adapter has altered the weights it wraps."""
    if weights.alone is None or weights.alteration is None or not weights.alteration.tensors:
        return updates_of(model)
    if not weights.together:
        reason = "it changes the weights that it wraps, and memory has no room for the base too"
        return Updates(norms={}, left_out={"the adapter": reason})
    return updates_of(model, weights.alone.load())
