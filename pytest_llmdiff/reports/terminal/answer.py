"""The answer of a run, as the last lines in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.reports.answer import Answer
from pytest_llmdiff.reports.terminal.styles import Line

STYLES = {"merge": "good", "do not merge": "bad", "undecided": "warn"}


def answer_lines(answer: Answer) -> Iterator[Line]:
    yield Line.of(f"llmdiff: {answer.decision.capitalize()}", STYLES[answer.decision])
    if answer.causes:
        yield Line.of("but know:" if answer.decision == "merge" else "because:", "head")
    for cause in answer.causes:
        tests = f" ({counted(cause.tests, 'test')})" if cause.tests else ""
        yield Line.of(f"  - {cause.text}{tests}")
    if answer.more:
        yield Line.of(f"  - and {counted(answer.more, 'other cause')}")
    if answer.next:
        yield Line.of("next:", "head")
    yield from (Line.of(f"  - {step}") for step in answer.next)
    if answer.rerun is not None:
        yield Line.of("rerun the worst: ", "head", answer.rerun)
    if answer.report is not None:
        yield Line.of("report: ", "head", answer.report)
