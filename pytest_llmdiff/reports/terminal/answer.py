"""The answer of a run, as the last lines in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_llmdiff.data.text.printing import counted, shortened
from pytest_llmdiff.reports.answer import Answer
from pytest_llmdiff.reports.terminal.styles import Line

STYLES = {"merge": "good", "do not merge": "bad", "undecided": "warn"}


STEPS = 2  # that are shown; the files have all
NARROWEST = 80  # columns
ROWS = 2  # of the terminal, for a cause


def answer_lines(answer: Answer, width: int) -> Iterator[Line]:
    """At most a screen of 24 lines on a terminal of 80 columns."""
    yield Line.of(f"llmdiff: {answer.heading}", STYLES[answer.decision])
    if answer.causes:
        yield Line.of("keep in mind:" if answer.decision == "merge" else "because:", "head")
    for cause in answer.causes:
        tests = f" ({counted(cause.tests, 'test')})" if cause.tests else ""
        room = ROWS * max(width, NARROWEST) - len(f"  - {tests}")
        yield Line.of(f"  - {shortened(cause.text, room)}{tests}")
    if answer.more:
        yield Line.of(f"  - and {counted(answer.more, 'other cause')}")
    if answer.next:
        yield Line.of("next:", "head")
    yield from (Line.of(f"  - {step}") for step in answer.next[:STEPS])
    if answer.rerun is not None:
        yield Line.of("rerun the worst: ", "head", answer.rerun)
    if answer.report is not None:
        yield Line.of("report: ", "head", answer.report)
