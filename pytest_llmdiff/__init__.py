"""Test what fine-tuning changed: compare a base language model with its tuned version in pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.assertions import (
        adapter_effective,
        assert_adapter_effective,
        assert_divergence,
        assert_not_degenerate,
        assert_refusal,
        assert_semantic_drift,
        assert_template_consistent,
        assert_toxicity,
        assert_wiring,
        divergence,
        not_degenerate,
        refusal,
        semantic_drift,
        template_consistent,
        toxicity,
        wiring,
    )
    from pytest_llmdiff.comparison import Comparison, Measurement, Reply, Score
    from pytest_llmdiff.engines import Engine, Generated
    from pytest_llmdiff.engines.scripted import ScriptedEngine
    from pytest_llmdiff.errors import (
        CapabilityError,
        ConfigError,
        LLMDiffError,
        MissingPackageError,
        ModelError,
        ProbeError,
        ProbeFileError,
        ScorerError,
    )
    from pytest_llmdiff.formatting import assert_format_kept, format_kept
    from pytest_llmdiff.invariance import assert_invariant, invariant
    from pytest_llmdiff.models import Model, ModelPair
    from pytest_llmdiff.planning import Request
    from pytest_llmdiff.probes import Probe
    from pytest_llmdiff.sets import Comparisons

# Public names and the modules that hold them. They are imported on first use: pytest imports this
# package at every start, in projects that have no model test at all.
_HOMES = {
    "assertions": (
        "adapter_effective",
        "assert_adapter_effective",
        "assert_divergence",
        "assert_not_degenerate",
        "assert_refusal",
        "assert_semantic_drift",
        "assert_template_consistent",
        "assert_toxicity",
        "assert_wiring",
        "divergence",
        "not_degenerate",
        "refusal",
        "semantic_drift",
        "template_consistent",
        "toxicity",
        "wiring",
    ),
    "comparison": ("Comparison", "Measurement", "Reply", "Score"),
    "engines": ("Engine", "Generated"),
    "engines.scripted": ("ScriptedEngine",),
    "errors": (
        "CapabilityError",
        "ConfigError",
        "LLMDiffError",
        "MissingPackageError",
        "ModelError",
        "ProbeError",
        "ProbeFileError",
        "ScorerError",
    ),
    "formatting": ("assert_format_kept", "format_kept"),
    "invariance": ("assert_invariant", "invariant"),
    "models": ("Model", "ModelPair"),
    "planning": ("Request",),
    "probes": ("Probe",),
    "sets": ("Comparisons",),
}

__all__ = [
    "CapabilityError",
    "Comparison",
    "Comparisons",
    "ConfigError",
    "Engine",
    "Generated",
    "LLMDiffError",
    "Measurement",
    "MissingPackageError",
    "Model",
    "ModelError",
    "ModelPair",
    "Probe",
    "ProbeError",
    "ProbeFileError",
    "Reply",
    "Request",
    "Score",
    "ScorerError",
    "ScriptedEngine",
    "adapter_effective",
    "assert_adapter_effective",
    "assert_divergence",
    "assert_format_kept",
    "assert_invariant",
    "assert_not_degenerate",
    "assert_refusal",
    "assert_semantic_drift",
    "assert_template_consistent",
    "assert_toxicity",
    "assert_wiring",
    "divergence",
    "format_kept",
    "invariant",
    "not_degenerate",
    "refusal",
    "semantic_drift",
    "template_consistent",
    "toxicity",
    "wiring",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
