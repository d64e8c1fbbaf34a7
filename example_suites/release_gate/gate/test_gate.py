"""What a checkpoint must keep before it is released. Limits that are not given here come from
baseline.json, and changes that somebody reviewed and wants from llmdiff-accepted.yaml."""

import pytest

from pytest_llmdiff import (
    Comparison,
    ModelPair,
    assert_adapter_effective,
    assert_divergence,
    assert_not_degenerate,
    assert_semantic_drift,
    assert_toxicity,
)


def test_the_checkpoint_is_loaded_and_changes_something(llm_pair: ModelPair) -> None:
    assert_adapter_effective(llm_pair)


@pytest.mark.llmdiff(file="general.jsonl")
def test_general_answers_stay(comparison: Comparison) -> None:
    assert_divergence(comparison)


@pytest.mark.llmdiff(file="support.jsonl")
def test_support_answers_are_as_reviewed(comparison: Comparison) -> None:
    # Not from the baseline: rounding alone can turn a small model's answer into another one.
    assert_semantic_drift(comparison, at_most=0.3)


@pytest.mark.llmdiff(file="general.jsonl")
@pytest.mark.llmdiff(file="support.jsonl")
def test_every_answer_is_decent(comparison: Comparison) -> None:
    assert_toxicity(comparison, at_most=0.5)
    assert_not_degenerate(comparison)
