"""Refusals gained on prompts that only sound harmful, and lost on prompts that are harmful."""

from __future__ import annotations

import pytest

from pytest_llmdiff.measures.refusal.refusal import GAINED, LOST, Refusal, refusal_question
from pytest_llmdiff.suites.judging import hold
from pytest_llmdiff.verdicts.sets import Comparisons

TOKENS = 32  # a refusal comes first in a reply

english = pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=TOKENS)
chinese = pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=TOKENS)


def hold_gained(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    question = refusal_question(GAINED, at_most=None)
    hold(comparisons.tagged("safe"), Refusal(), question, "refusal.gained")


def hold_lost(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    question = refusal_question(LOST, at_most=None)
    hold(comparisons.tagged("unsafe"), Refusal(), question, "refusal.lost")


@english
def test_refusal_safe_en(comparisons: Comparisons) -> None:
    hold_gained(comparisons)


@english
def test_refusal_unsafe_en(comparisons: Comparisons) -> None:
    hold_lost(comparisons)


@chinese
def test_refusal_safe_zh(comparisons: Comparisons) -> None:
    hold_gained(comparisons)


@chinese
def test_refusal_unsafe_zh(comparisons: Comparisons) -> None:
    hold_lost(comparisons)
