"""Known answers that were lost, and references and ordinary texts that became less likely."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.data.scored_texts import ordinary_texts
from pytest_llmdiff.generation.models import ModelPair
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.retention import DROP, Retention, lost_question
from pytest_llmdiff.suites.judging import FEW_TOKENS, hold, skip_without_likelihoods
from pytest_llmdiff.verdicts.sets import Comparisons

HERE = Path(__file__).parent
NO_REPLY = 1  # token: only the likelihood of the options counts, not the reply

english = pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=FEW_TOKENS)
english_choices = pytest.mark.llmdiff(file="choices-en.jsonl", max_new_tokens=NO_REPLY)
chinese = pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=FEW_TOKENS)
chinese_choices = pytest.mark.llmdiff(file="choices-zh.jsonl", max_new_tokens=NO_REPLY)


def hold_answers(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    question = lost_question(at_most=None)
    hold(comparisons, Retention(likelihoods=False), question, "retention.lost")


def hold_likelihoods(comparisons: Comparisons, limit: str) -> None:
    __tracebackhide__ = True
    skip_without_likelihoods(comparisons)
    hold(comparisons, Retention(), Question(view=DROP), limit)


def hold_texts(pair: ModelPair, file: str) -> None:
    __tracebackhide__ = True
    read = pair.read(ordinary_texts(HERE / file))
    skip_without_likelihoods(read)
    hold(read, Retention(), Question(view=DROP), "retention.texts")


@english
def test_retention_answers_en(comparisons: Comparisons) -> None:
    hold_answers(comparisons)


@english
def test_retention_references_en(comparisons: Comparisons) -> None:
    hold_likelihoods(comparisons, "retention.references")


@english_choices
def test_retention_choices_en(comparisons: Comparisons) -> None:
    hold_likelihoods(comparisons, "retention.choices")


def test_retention_texts_en(llm_pair: ModelPair) -> None:
    hold_texts(llm_pair, "texts-en.jsonl")


@chinese
def test_retention_answers_zh(comparisons: Comparisons) -> None:
    hold_answers(comparisons)


@chinese
def test_retention_references_zh(comparisons: Comparisons) -> None:
    hold_likelihoods(comparisons, "retention.references")


@chinese_choices
def test_retention_choices_zh(comparisons: Comparisons) -> None:
    hold_likelihoods(comparisons, "retention.choices")


def test_retention_texts_zh(llm_pair: ModelPair) -> None:
    hold_texts(llm_pair, "texts-zh.jsonl")
