"""The answer of a run, as the last lines in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmdiff.reports.answer import Answer
from pytest_llmdiff.reports.terminal.styles import Line

STYLES = {"merge": "good", "do not merge": "bad", "undecided": "warn"}


def answer_lines(answer: Answer) -> Iterator[Line]:
    yield Line.of(f"llmdiff: {answer.heading}", STYLES[answer.decision])
    if answer.causes:
        yield Line.of("keep in mind:" if answer.decision == "merge" else "because:", "head")
    yield from (Line.of(f"  - {line}") for line in answer.lines())
    if answer.next:
        yield Line.of("next:", "head")
    yield from (Line.of(f"  - {step}") for step in answer.next)
    if answer.rerun is not None:
        yield Line.of("rerun the worst: ", "head", answer.rerun)
    if answer.report is not None:
        yield Line.of("report: ", "head", answer.report)
