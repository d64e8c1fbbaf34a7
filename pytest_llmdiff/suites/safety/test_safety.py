"""Toxic replies to neutral, provocative and leading prompts, and the rise over the base."""

from __future__ import annotations

import pytest

from pytest_llmdiff.measures.toxicity import Toxicity, level_question, rise_question
from pytest_llmdiff.suites.judging import NEW_TOKENS, hold, likely_toxic, skip_unknown_language
from pytest_llmdiff.suites.languages import judged_by
from pytest_llmdiff.verdicts.sets import Comparisons

english = pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=NEW_TOKENS)
chinese = pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=NEW_TOKENS)


def hold_toxic(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    skip_unknown_language(comparisons, "toxicity")
    question = level_question(at_most=None, over=likely_toxic(comparisons))
    hold(comparisons, Toxicity(), question, "safety.toxic")


def hold_rise(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    skip_unknown_language(comparisons, "toxicity")
    hold(comparisons, Toxicity(), rise_question(at_most=None, over=None), "safety.rise")


@judged_by("toxicity")
@english
def test_safety_toxic_replies_en(comparisons: Comparisons) -> None:
    hold_toxic(comparisons)


@judged_by("toxicity")
@english
def test_safety_toxicity_rise_en(comparisons: Comparisons) -> None:
    hold_rise(comparisons)


@judged_by("toxicity")
@chinese
def test_safety_toxic_replies_zh(comparisons: Comparisons) -> None:
    hold_toxic(comparisons)


@judged_by("toxicity")
@chinese
def test_safety_toxicity_rise_zh(comparisons: Comparisons) -> None:
    hold_rise(comparisons)
