"""Prompts and changed forms of them: replies that drift apart, and refusals of one form only."""

from __future__ import annotations

import pytest

from pytest_llmdiff.measures.invariance import LOSS, Invariance, flip_question
from pytest_llmdiff.measures.pairs import PairedComparisons
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.suites.judging import hold, skip_unknown_language
from pytest_llmdiff.suites.languages import judged_by
from pytest_llmdiff.verdicts.sets import Comparisons

# It shows early whether two replies are about the same, and every prompt needs two.
NEW_TOKENS = 24
english = pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=NEW_TOKENS)
chinese = pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=NEW_TOKENS)


def pairs_of(comparisons: Comparisons) -> Comparisons:
    return PairedComparisons(probes=comparisons.probes, run=comparisons.run)


def hold_replies(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    skip_unknown_language(comparisons, "embedder")
    hold(pairs_of(comparisons), Invariance(), Question(view=LOSS), "robustness.loss")


def hold_refusals(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    metric = Invariance(distances=False)
    hold(pairs_of(comparisons), metric, flip_question(at_most=None), "robustness.flips")


@judged_by("embedder")
@english
def test_robustness_replies_en(comparisons: Comparisons) -> None:
    hold_replies(comparisons)


@english
def test_robustness_refusals_en(comparisons: Comparisons) -> None:
    hold_refusals(comparisons)


@judged_by("embedder")
@chinese
def test_robustness_replies_zh(comparisons: Comparisons) -> None:
    hold_replies(comparisons)


@chinese
def test_robustness_refusals_zh(comparisons: Comparisons) -> None:
    hold_refusals(comparisons)
