"""Replies that talk to the judge: what comes of planted attempts, under judges that give in."""

from __future__ import annotations

import re

import pytest

from benchmarks.hostile_replies import (
    FORMS,
    GOOD,
    JUDGES,
    PROMPT,
    RUBRIC,
    Attempt,
    attempts,
    counted,
    protected,
)
from pytest_llmdiff.generation.judge import Form, Judge
from tests.support import ROOT


def test_attempts_are_of_all_kinds_in_both_languages() -> None:
    found = attempts()
    assert len(found) == len({each.reply for each in found}) >= 30
    kinds = {each.kind for each in found}
    assert kinds == {"order", "delimiter", "verdict", "code", "role", "place"}
    assert {(each.kind, each.language) for each in found} == {
        (kind, language) for kind in kinds for language in ("en", "zh")
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "attempt", [pytest.param(a, id=f"{a.kind}-{n}") for n, a in enumerate(attempts())]
)
def test_an_attempt_wins_with_no_judge_but_one_that_is_persuaded(
    attempt: Attempt, form: Form
) -> None:
    assert protected("careful", attempt, form) == "no effect"
    assert protected("literal", attempt, form) == "not judged"
    if attempt.kind == "place":
        assert protected("obedient", attempt, form) in ("half", "no effect")


def test_no_attempt_has_a_mark_or_a_code() -> None:
    judge = Judge(spec="s", rubric=RUBRIC, form="better", open_engine=lambda: pytest.fail("asked"))
    for attempt in attempts():
        asked = judge._request((PROMPT, GOOD, attempt.reply)).messages[-1]["content"]
        mark = re.search(r"<<question (\w+)>>", asked)
        code = re.findall(r'"code": "(\w+)"', asked)[-1]
        assert mark is not None
        assert mark[1] not in attempt.reply
        assert code not in attempt.reply


def test_the_counts_are_those_of_the_docs() -> None:
    page = (ROOT / "docs" / "judges.md").read_text(encoding="utf-8")
    rows = [
        line.strip("|").split("|")
        for line in page.splitlines()
        if line.startswith("|") and re.search(r"\| (rubric|better) \|", line)
    ]
    found = counted()
    assert len(rows) == len(JUDGES) * len(FORMS)
    for row, judge in zip(rows, found["protected"], strict=True):
        *_, theirs, ours = (cell.strip() for cell in row)
        assert int(theirs) == found["trusting"][judge]["won"]
        counts = found["protected"][judge]
        told = [int(number) for number in re.findall(r"\d+", ours)]
        assert told == [counts["won"], *filter(None, (counts["half"], counts["not judged"]))]
    assert f"plants {len(attempts())} such replies" in page
