"""Test what fine-tuning changed: compare a base language model with its tuned version in pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_llmdiff.assertions.attention import (
        assert_attends,
        assert_attention_shift,
        attends,
        attention_map,
        attention_shift,
    )
    from pytest_llmdiff.assertions.attribution import attribution
    from pytest_llmdiff.assertions.bias import assert_unbiased, unbiased
    from pytest_llmdiff.assertions.degeneration import assert_not_degenerate, not_degenerate
    from pytest_llmdiff.assertions.divergence import assert_divergence, divergence
    from pytest_llmdiff.assertions.drift import assert_semantic_drift, semantic_drift
    from pytest_llmdiff.assertions.formatting import assert_format_kept, format_kept
    from pytest_llmdiff.assertions.invariance import assert_invariant, invariant
    from pytest_llmdiff.assertions.origins import carriers, influence
    from pytest_llmdiff.assertions.parity import assert_parity, parity
    from pytest_llmdiff.assertions.refusal import assert_refusal, refusal
    from pytest_llmdiff.assertions.retention import assert_retention, retention
    from pytest_llmdiff.assertions.toxicity import assert_toxicity, toxicity
    from pytest_llmdiff.assertions.wiring import (
        adapter_effective,
        assert_adapter_effective,
        assert_template_consistent,
        assert_wiring,
        template_consistent,
        wiring,
    )
    from pytest_llmdiff.attention import AttentionMap
    from pytest_llmdiff.attributions import (
        Agreement,
        Attribution,
        MethodAttribution,
        SideAttribution,
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
    from pytest_llmdiff.models import Model, ModelPair
    from pytest_llmdiff.origins import Carriers, Influence, Influences, Part
    from pytest_llmdiff.planning import Request
    from pytest_llmdiff.probes import Probe
    from pytest_llmdiff.readings import (
        bbq,
        crows_pairs,
        likelihood_pairs,
        ordinary_texts,
        winogender,
    )
    from pytest_llmdiff.sets import Comparisons

# Public names and the modules that hold them. They are imported on first use: pytest imports this
# package at every start, in projects that have no model test at all.
_HOMES = {
    "assertions.attention": (
        "assert_attends",
        "assert_attention_shift",
        "attends",
        "attention_map",
        "attention_shift",
    ),
    "attention": ("AttentionMap",),
    "assertions.attribution": ("attribution",),
    "attributions": ("Agreement", "Attribution", "MethodAttribution", "SideAttribution"),
    "assertions.degeneration": ("assert_not_degenerate", "not_degenerate"),
    "assertions.divergence": ("assert_divergence", "divergence"),
    "assertions.drift": ("assert_semantic_drift", "semantic_drift"),
    "assertions.origins": ("carriers", "influence"),
    "assertions.parity": ("assert_parity", "parity"),
    "assertions.refusal": ("assert_refusal", "refusal"),
    "assertions.toxicity": ("assert_toxicity", "toxicity"),
    "assertions.wiring": (
        "adapter_effective",
        "assert_adapter_effective",
        "assert_template_consistent",
        "assert_wiring",
        "template_consistent",
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
    "assertions.formatting": ("assert_format_kept", "format_kept"),
    "assertions.invariance": ("assert_invariant", "invariant"),
    "models": ("Model", "ModelPair"),
    "origins": ("Carriers", "Influence", "Influences", "Part"),
    "planning": ("Request",),
    "probes": ("Probe",),
    "assertions.bias": ("assert_unbiased", "unbiased"),
    "assertions.retention": ("assert_retention", "retention"),
    "readings": ("bbq", "crows_pairs", "likelihood_pairs", "ordinary_texts", "winogender"),
    "sets": ("Comparisons",),
}

__all__ = [
    "Agreement",
    "AttentionMap",
    "Attribution",
    "CapabilityError",
    "Carriers",
    "Comparison",
    "Comparisons",
    "ConfigError",
    "Engine",
    "Generated",
    "Influence",
    "Influences",
    "LLMDiffError",
    "Measurement",
    "MethodAttribution",
    "MissingPackageError",
    "Model",
    "ModelError",
    "ModelPair",
    "Part",
    "Probe",
    "ProbeError",
    "ProbeFileError",
    "Reply",
    "Request",
    "Score",
    "ScorerError",
    "ScriptedEngine",
    "SideAttribution",
    "adapter_effective",
    "assert_adapter_effective",
    "assert_attends",
    "assert_attention_shift",
    "assert_divergence",
    "assert_format_kept",
    "assert_invariant",
    "assert_not_degenerate",
    "assert_parity",
    "assert_refusal",
    "assert_retention",
    "assert_semantic_drift",
    "assert_template_consistent",
    "assert_toxicity",
    "assert_unbiased",
    "assert_wiring",
    "attends",
    "attention_map",
    "attention_shift",
    "attribution",
    "bbq",
    "carriers",
    "crows_pairs",
    "divergence",
    "format_kept",
    "influence",
    "invariant",
    "likelihood_pairs",
    "not_degenerate",
    "ordinary_texts",
    "parity",
    "refusal",
    "retention",
    "semantic_drift",
    "template_consistent",
    "toxicity",
    "unbiased",
    "winogender",
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
