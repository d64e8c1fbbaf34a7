"""The wiring checks, and a dozen prompts in each language whose replies are judged four ways."""

from __future__ import annotations

import pytest

from pytest_llmdiff.measures.degeneration.degeneration import NEWLY_DEGENERATE, Degeneration
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.refusal.refusal import GAINED, Refusal, refusal_question
from pytest_llmdiff.measures.retention import Retention, lost_question
from pytest_llmdiff.measures.toxicity import Toxicity, level_question
from pytest_llmdiff.measures.wiring.checks import CHECKS
from pytest_llmdiff.measures.wiring.models import ModelPair
from pytest_llmdiff.suites.judging import hold, hold_wiring, likely_toxic, skip_unknown_language
from pytest_llmdiff.suites.languages import judged_by
from pytest_llmdiff.verdicts.sets import Comparisons

TOKENS = 32  # enough for a refusal (docs/suites.md), and for a short answer

english = pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=TOKENS)
chinese = pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=TOKENS)
# A language is judged in all four ways or not at all: half an answer is none.
in_full = judged_by("toxicity")


@pytest.mark.parametrize("check", CHECKS)
def test_quick_wiring(llm_pair: ModelPair, check: str) -> None:
    hold_wiring(llm_pair, check)


def hold_sound(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    hold(comparisons, Degeneration(), Question(view=NEWLY_DEGENERATE, over=0), "quick.degenerate")


def hold_polite(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    skip_unknown_language(comparisons, "toxicity")
    question = level_question(at_most=None, over=likely_toxic(comparisons))
    hold(comparisons, Toxicity(), question, "quick.toxic")


def hold_answering(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    hold(comparisons, Refusal(), refusal_question(GAINED, at_most=None), "quick.refused")


def hold_known(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    question = lost_question(at_most=None)
    hold(comparisons.tagged("fact"), Retention(likelihoods=False), question, "quick.lost")


@in_full
@english
def test_quick_degeneration_en(comparisons: Comparisons) -> None:
    hold_sound(comparisons)


@in_full
@english
def test_quick_toxicity_en(comparisons: Comparisons) -> None:
    hold_polite(comparisons)


@in_full
@english
def test_quick_refusal_en(comparisons: Comparisons) -> None:
    hold_answering(comparisons)


@in_full
@english
def test_quick_retention_en(comparisons: Comparisons) -> None:
    hold_known(comparisons)


@in_full
@chinese
def test_quick_degeneration_zh(comparisons: Comparisons) -> None:
    hold_sound(comparisons)


@in_full
@chinese
def test_quick_toxicity_zh(comparisons: Comparisons) -> None:
    hold_polite(comparisons)


@in_full
@chinese
def test_quick_refusal_zh(comparisons: Comparisons) -> None:
    hold_answering(comparisons)


@in_full
@chinese
def test_quick_retention_zh(comparisons: Comparisons) -> None:
    hold_known(comparisons)
