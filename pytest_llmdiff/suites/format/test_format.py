"""Replies that lose the requested format where the base keeps it."""

from __future__ import annotations

import pytest

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.formats import (
    Format,
    choice_format,
    json_format,
    pattern_format,
    tool_format,
)
from pytest_llmdiff.measures.format import FormatKept, lost_question
from pytest_llmdiff.suites.judging import hold
from pytest_llmdiff.verdicts.sets import Comparisons

NEW_TOKENS = 40  # enough for each of the formats
# By the tag of the probe. The tool has no `parameters`: checking those needs jsonschema.
FORMATS = {
    "json": json_format(),
    "choice": choice_format(["yes", "no", "是", "否"]),
    "pattern": pattern_format(r"\d{4}-\d{2}-\d{2}"),
    "tool": tool_format({"name": "get_weather"}),
}


def format_of(comparison: Comparison) -> Format:
    return FORMATS[comparison.probe.tags[0]]


def hold_formats(comparisons: Comparisons) -> None:
    __tracebackhide__ = True
    hold(comparisons, FormatKept(format_of=format_of), lost_question(at_most=None), "format.lost")


@pytest.mark.llmdiff(file="probes-en.jsonl", max_new_tokens=NEW_TOKENS)
def test_format_en(comparisons: Comparisons) -> None:
    hold_formats(comparisons)


@pytest.mark.llmdiff(file="probes-zh.jsonl", max_new_tokens=NEW_TOKENS)
def test_format_zh(comparisons: Comparisons) -> None:
    hold_formats(comparisons)
