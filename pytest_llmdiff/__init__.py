"""Test what fine-tuning changed: compare a base language model with its tuned version in pytest."""

# Public names by the module that defines them. They are imported on first use: pytest imports this
# package at every start, even in projects without model tests, and rewrites this file each time
# where Python may not write bytecode. So their types are in `__init__.pyi`.
_HOMES = {
    "data.comparison": ("Comparison", "Measurement", "Reply", "Score"),
    "data.probes": ("Probe",),
    "data.requests": ("Request",),
    "data.scored_texts": ("bbq", "crows_pairs", "likelihood_pairs", "ordinary_texts", "winogender"),
    "data.tools.calls": ("ToolCall",),
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
    "explain.attention.values": ("AttentionMap",),
    "explain.attribution.agreement": ("Agreement",),
    "explain.attribution.values": ("Attribution", "MethodAttribution", "SideAttribution"),
    "explain.carriers": ("Carriers", "Part"),
    "explain.training.values": ("Influence", "Influences"),
    "interactive": ("OpenedPair", "open_pair"),
    "measures.accuracy": ("accuracy", "assert_accuracy"),
    "measures.attention.maps": ("attention_map",),
    "measures.attention.shift": ("assert_attention_shift", "attention_shift"),
    "measures.attention.words": ("assert_attends", "attends"),
    "measures.attribution": ("attribution",),
    "measures.bias.bias": ("assert_unbiased", "unbiased"),
    "measures.degeneration.degeneration": ("assert_not_degenerate", "not_degenerate"),
    "measures.divergence": ("assert_divergence", "divergence"),
    "measures.drift": ("assert_semantic_drift", "semantic_drift"),
    "measures.format": ("assert_format_kept", "format_kept"),
    "measures.influence": ("carriers", "influence"),
    "measures.invariance": ("assert_invariant", "invariant"),
    "measures.judged": ("assert_judged", "assert_preferred", "judged", "preferred"),
    "measures.parity.parity": ("assert_parity", "parity"),
    "measures.refusal.refusal": ("assert_refusal", "refusal"),
    "measures.retention": ("assert_retention", "retention"),
    "measures.score": ("assert_score", "score"),
    "measures.tool_calls": ("assert_tool_calls", "tool_calls"),
    "measures.toxicity": ("assert_toxicity", "toxicity"),
    "explore.run": ("ModelPair",),
    "measures.wiring.models": ("Model",),
    "measures.wiring.wiring": (
        "adapter_effective",
        "assert_adapter_effective",
        "assert_template_consistent",
        "assert_wiring",
        "template_consistent",
        "wiring",
    ),
    "verdicts.sets": ("Comparisons",),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> object:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
