from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply, Score
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.scored_texts import (
    bbq,
    crows_pairs,
    likelihood_pairs,
    ordinary_texts,
    winogender,
)
from pytest_llmdiff.data.tools.calls import ToolCall
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
from pytest_llmdiff.explain.attention.values import AttentionMap
from pytest_llmdiff.explain.attribution.agreement import Agreement
from pytest_llmdiff.explain.attribution.values import (
    Attribution,
    MethodAttribution,
    SideAttribution,
)
from pytest_llmdiff.explain.carriers import Carriers, Part
from pytest_llmdiff.explain.training.values import Influence, Influences
from pytest_llmdiff.explore.run import ModelPair
from pytest_llmdiff.interactive import OpenedPair, open_pair
from pytest_llmdiff.measures.accuracy import accuracy, assert_accuracy
from pytest_llmdiff.measures.attention.maps import attention_map
from pytest_llmdiff.measures.attention.shift import assert_attention_shift, attention_shift
from pytest_llmdiff.measures.attention.words import assert_attends, attends
from pytest_llmdiff.measures.attribution import attribution
from pytest_llmdiff.measures.bias.bias import assert_unbiased, unbiased
from pytest_llmdiff.measures.degeneration.degeneration import (
    assert_not_degenerate,
    not_degenerate,
)
from pytest_llmdiff.measures.divergence import assert_divergence, divergence
from pytest_llmdiff.measures.drift import assert_semantic_drift, semantic_drift
from pytest_llmdiff.measures.format import assert_format_kept, format_kept
from pytest_llmdiff.measures.influence import carriers, influence
from pytest_llmdiff.measures.invariance import assert_invariant, invariant
from pytest_llmdiff.measures.judged import (
    assert_judged,
    assert_preferred,
    judged,
    preferred,
)
from pytest_llmdiff.measures.parity.parity import assert_parity, parity
from pytest_llmdiff.measures.refusal.refusal import assert_refusal, refusal
from pytest_llmdiff.measures.retention import assert_retention, retention
from pytest_llmdiff.measures.score import assert_score, score
from pytest_llmdiff.measures.tool_calls import assert_tool_calls, tool_calls
from pytest_llmdiff.measures.toxicity import assert_toxicity, toxicity
from pytest_llmdiff.measures.wiring.models import Model
from pytest_llmdiff.measures.wiring.wiring import (
    adapter_effective,
    assert_adapter_effective,
    assert_template_consistent,
    assert_wiring,
    template_consistent,
    wiring,
)
from pytest_llmdiff.verdicts.sets import Comparisons

_HOMES: dict[str, tuple[str, ...]]

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
    "OpenedPair",
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
    "ToolCall",
    "accuracy",
    "adapter_effective",
    "assert_accuracy",
    "assert_adapter_effective",
    "assert_attends",
    "assert_attention_shift",
    "assert_divergence",
    "assert_format_kept",
    "assert_invariant",
    "assert_judged",
    "assert_not_degenerate",
    "assert_parity",
    "assert_preferred",
    "assert_refusal",
    "assert_retention",
    "assert_score",
    "assert_semantic_drift",
    "assert_template_consistent",
    "assert_tool_calls",
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
    "judged",
    "likelihood_pairs",
    "not_degenerate",
    "open_pair",
    "ordinary_texts",
    "parity",
    "preferred",
    "refusal",
    "retention",
    "score",
    "semantic_drift",
    "template_consistent",
    "tool_calls",
    "toxicity",
    "unbiased",
    "winogender",
    "wiring",
]

def __dir__() -> list[str]: ...
