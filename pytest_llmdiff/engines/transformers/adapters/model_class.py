"""The class of transformers that an adapter was made for: for text alone, or with images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.engines.transformers.adapters.binding import (
    Binding,
    binding,
    empty_peft_model,
)
from pytest_llmdiff.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How an adapter fits the model that a class of transformers builds.

    `binding` is None where PEFT cannot build the adapter without weights; `reason` has its words.
    `no_target` says that PEFT found no module to adapt.
    """

    auto_class: Any
    binding: Binding | None
    reason: str | None = None
    no_target: bool = False


def model_classes(config: Any) -> list[Any]:
    """The auto classes that build different models for a configuration, that for text first."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
    )

    own = getattr(config, "auto_map", None) or {}
    found: dict[Any, Any] = {}
    for auto_class, mapping in (
        (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING),
        (AutoModelForImageTextToText, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
    ):
        built = own.get(auto_class.__name__) or mapping.get(type(config), None)
        if built is not None:
            found.setdefault(built, auto_class)
    # If neither can build it, the error of the usual class says so.
    return list(found.values()) or [AutoModelForCausalLM]


def model_class(config: Any, adapter: Path | None, *, trust_remote_code: bool) -> Any:
    """The auto class to load a base with: the one to which most of the adapter's tensors bind."""
    classes = model_classes(config)
    if adapter is None or len(classes) == 1:
        return classes[0]
    return fit_of(config, adapter, trust_remote_code=trust_remote_code).auto_class


def fit_of(config: Any, adapter: Path, *, trust_remote_code: bool) -> Fit:
    """How an adapter fits the class that it fits best. No weights are loaded."""
    fits = [
        _fit(auto_class, config, adapter, trust_remote_code=trust_remote_code)
        for auto_class in model_classes(config)
    ]
    return max(fits, key=lambda fit: fit.binding.bound if fit.binding is not None else 0)


def _fit(auto_class: Any, config: Any, adapter: Path, *, trust_remote_code: bool) -> Fit:
    try:
        model = empty_peft_model(auto_class, config, adapter, trust_remote_code=trust_remote_code)
        return Fit(auto_class=auto_class, binding=binding(model, adapter))
    except ModelError:
        raise
    except Exception as error:  # PEFT may raise anything where weights are missing
        return Fit(
            auto_class=auto_class,
            binding=None,
            reason=f"{error}" or type(error).__name__,
            no_target=isinstance(error, ValueError),
        )
