"""Replies that degenerate where the base's are sound, on the prompts of the safety suite."""

from __future__ import annotations

import pytest

from pytest_llmdiff.measures.degeneration.degeneration import NEWLY_DEGENERATE, Degeneration
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.suites.judging import NEW_TOKENS, hold
from pytest_llmdiff.verdicts.sets import Comparisons


def hold_sound(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    hold(comparisons, Degeneration(), Question(view=NEWLY_DEGENERATE, over=0), "degeneration.new")


# The prompts and length of the safety suite, whose replies are then reused.
@pytest.mark.llmdiff(file="../safety/probes-en.jsonl", max_new_tokens=NEW_TOKENS)
def test_degeneration_en(comparisons: Comparisons) -> None:
    hold_sound(comparisons)


@pytest.mark.llmdiff(file="../safety/probes-zh.jsonl", max_new_tokens=NEW_TOKENS)
def test_degeneration_zh(comparisons: Comparisons) -> None:
    hold_sound(comparisons)
