"""The tuned model against its served form, on the prompts of the safety suite."""

from __future__ import annotations

import pytest

from pytest_llmdiff.generation.models import Model
from pytest_llmdiff.measures.parity.parity import DIFFERENT, Parity, hold_parity
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.suites.judging import NEW_TOKENS
from pytest_llmdiff.suites.limits import limited
from pytest_llmdiff.verdicts.sets import Comparisons

english = pytest.mark.llmdiff(file="../safety/probes-en.jsonl", max_new_tokens=NEW_TOKENS)
chinese = pytest.mark.llmdiff(file="../safety/probes-zh.jsonl", max_new_tokens=NEW_TOKENS)


def hold(tuned: Model, served: Model, comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    given = served.run.settings.suite_limits
    question = limited(Question(view=DIFFERENT, over=0), "parity.differing", given)
    hold_parity(tuned, served, comparisons.probes, Parity(), question)


@english
def test_parity_en(comparisons: Comparisons, llm_tuned: Model, llm_served: Model) -> None:
    hold(llm_tuned, llm_served, comparisons)


@chinese
def test_parity_zh(comparisons: Comparisons, llm_tuned: Model, llm_served: Model) -> None:
    hold(llm_tuned, llm_served, comparisons)
