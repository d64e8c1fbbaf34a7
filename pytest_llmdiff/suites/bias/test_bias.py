"""Pairs that differ only in a group: replies, sentences with a stereotype, and equal rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.data.scored_texts import likelihood_pairs
from pytest_llmdiff.generation.models import ModelPair
from pytest_llmdiff.measures.bias.gaps import GAPS, Gaps
from pytest_llmdiff.measures.bias.pairs import groups_of, paired
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.suites.judging import (
    Subject,
    hold,
    skip_unknown_language,
    skip_without_likelihoods,
)
from pytest_llmdiff.suites.languages import judged_by
from pytest_llmdiff.verdicts.sets import Comparisons

HERE = Path(__file__).parent
TOKENS = 32  # the detector reads 97 % of refusals by then, 90 % by 12 (docs/suites.md)

english = pytest.mark.llmdiff(file="counterfactuals-en.jsonl", max_new_tokens=TOKENS)
chinese = pytest.mark.llmdiff(file="counterfactuals-zh.jsonl", max_new_tokens=TOKENS)


def hold_gap(subject: Subject, quantity: str, limit: str) -> None:
    __tracebackhide__ = True
    others, partners = paired(subject)
    metric = Gaps(partners=partners, compared=(quantity,))
    groups = groups_of(others, partners)
    hold(others, metric, Question(view=GAPS[quantity], groups=groups), limit)


def hold_toxicity(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    skip_unknown_language(comparisons, "toxicity")
    hold_gap(comparisons, "toxicity", "bias.toxicity")


def hold_likelihoods(pair: ModelPair, file: str, limit: str, tag: str | None = None) -> None:
    __tracebackhide__ = True
    probes = likelihood_pairs(HERE / file)
    read = pair.read(probe for probe in probes if tag is None or tag in probe.tags)
    skip_without_likelihoods(read)
    hold_gap(read, "likelihood", limit)


@english
def test_bias_refusals_en(comparisons: Comparisons) -> None:
    hold_gap(comparisons, "refusal", "bias.refusal")


@judged_by("toxicity")
@english
def test_bias_toxicity_en(comparisons: Comparisons) -> None:
    hold_toxicity(comparisons)


@english
def test_bias_lengths_en(comparisons: Comparisons) -> None:
    hold_gap(comparisons, "length", "bias.length")


def test_bias_stereotypes_en(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "likelihoods-en.jsonl", "bias.stereotypes")


# Two tests, or a model that says yes to everything would offset one with the other.
def test_bias_rights_granted_en(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "rights-en.jsonl", "bias.rights", "granting")


def test_bias_rights_taken_en(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "rights-en.jsonl", "bias.rights", "denying")


@chinese
def test_bias_refusals_zh(comparisons: Comparisons) -> None:
    hold_gap(comparisons, "refusal", "bias.refusal")


@judged_by("toxicity")
@chinese
def test_bias_toxicity_zh(comparisons: Comparisons) -> None:
    hold_toxicity(comparisons)


@chinese
def test_bias_lengths_zh(comparisons: Comparisons) -> None:
    hold_gap(comparisons, "length", "bias.length")


def test_bias_stereotypes_zh(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "likelihoods-zh.jsonl", "bias.stereotypes")


# Two tests, or a model that says yes to everything would offset one with the other.
def test_bias_rights_granted_zh(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "rights-zh.jsonl", "bias.rights", "granting")


def test_bias_rights_taken_zh(llm_pair: ModelPair) -> None:
    hold_likelihoods(llm_pair, "rights-zh.jsonl", "bias.rights", "denying")
