"""A summary in GitHub's Markdown, for reviewers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.data.text.printing import counted, printable, shortened
from pytest_llmdiff.reports.answer import answer_of
from pytest_llmdiff.reports.order import OPEN, comparison_of, decisive, short, worst_first
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.run_facts import RunFacts, rerun_of
from pytest_llmdiff.reports.run_notes import accepted_notes, run_notes
from pytest_llmdiff.reports.verdict_cells import (
    besides_of,
    interval_of,
    limit_of,
    measure_of,
    value_of,
)

# GitHub drops a larger summary of a step.
LARGEST = 1024 * 1024
PROMPT = 100  # columns
ROWS = 100
# The beginnings of markup in Markdown and HTML, and of GitHub's mentions, references, links and
# formulas.
MARKUP = re.compile(r"[&<>|`*_\[\]()!#@:\\~{}$\"'=+^-]|www\.", re.IGNORECASE)
SIGN = {
    "regressed": "❌", "error": "❌", "failed": "❌", "not judged": "❔", "inconclusive": "❔",
    "skipped": "➖", "passed": "✅",
}  # fmt: skip

ANSWERS = {"merge": "✅", "do not merge": "❌", "undecided": "❔"}


def write_markdown(facts: RunFacts, path: Path) -> None:
    write_whole(path, markdown_text(facts, LARGEST))


def append_markdown(facts: RunFacts, path: Path) -> None:
    """Add the summary to those of other steps, as far as there is room for it."""
    taken = path.stat().st_size if path.exists() else 0
    with path.open("a", encoding="utf-8") as stream:
        stream.write(markdown_text(facts, LARGEST - taken - 1))


def markdown_text(facts: RunFacts, most: int) -> str:
    """At most `most` bytes: the head, and as many rows as fit; nothing if the head does not fit."""
    rows = worst_first(facts.rows.values())
    open_ = [row for row in rows if kind_of(row) in OPEN]
    shown = min(ROWS, len(open_))
    while True:
        text = "".join(line + "\n" for line in _lines(facts, open_, shown))
        if len(text.encode()) <= most:
            return text
        if shown == 0:
            return ""
        shown //= 2


def escaped(text: str) -> str:
    """A text on one line, escaped so that Markdown shows it literally."""
    return MARKUP.sub(
        lambda match: "".join(f"&#{ord(character)};" for character in match[0]), printable(text)
    )


def _code(text: str) -> str:
    return f"<code>{escaped(text)}</code>" if text else ""


def _lines(facts: RunFacts, open_: list[dict[str, Any]], shown: int) -> Iterator[str]:
    numbers = counts(facts.rows)
    outcomes = ", ".join(f"{count} {name}" for name, count in numbers.items() if count)
    answer = answer_of(facts)
    if answer is None:
        yield f"## {SIGN['skipped']} llmdiff: {outcomes or 'no test used the models'}"
    else:
        yield f"## {ANSWERS[answer.decision]} llmdiff: {answer.heading} ({outcomes})"
        if answer.causes:
            yield ""
        yield from (f"- {escaped(line)}" for line in answer.lines())
    yield ""
    models = " → ".join(_code(str(spec)) for spec in (facts.settings.base, facts.settings.tuned))
    ran = ", ".join(f"{escaped(name)} {_code(value)}" for name, value in facts.resolved.items())
    yield f"{models}{' on ' if ran else ''}{ran}"
    yield ""
    for note in accepted_notes(facts):
        yield escaped(shortened(note, 400))
        yield ""
    if open_:
        yield "| | verdict | measure | value | limit | prompt | test |"
        yield "|--:|---|---|--:|--:|---|---|"
    for place, row in enumerate(open_[:shown], 1):
        yield _row(place, row)
    if len(open_) > shown:
        yield ""
        left = counted(len(open_) - shown, "other test")
        yield f"and {left}, in the terminal and the other reports"
    if answer is not None and answer.next:
        yield ""
        yield "**Next**"
        yield ""
        yield from (f"- {escaped(hint)}" for hint in answer.next)
    if shown:
        yield ""
        yield "<details><summary>Run them again</summary>"
        yield ""
        yield from _commands(facts, open_[:shown])
        yield ""
        yield "</details>"
    notes = [*facts.warnings, *run_notes(facts)]
    if notes and (shown or not open_):  # they have to fit as well
        yield ""
        yield f"<details><summary>{len(notes)} notes</summary>"
        yield ""
        yield from (f"- {escaped(shortened(note, 400))}" for note in notes[:50])
        yield ""
        yield "</details>"
    yield ""


def _row(place: int, row: Mapping[str, Any]) -> str:
    verdict, kind = decisive(row), kind_of(dict(row))
    comparison = comparison_of(row, verdict)
    prompt = "" if comparison is None else shortened(comparison["prompt"], PROMPT)
    cells = ["", "", ""]
    if verdict is not None:
        measure = escaped(measure_of(verdict))
        besides = filter(None, (interval_of(verdict), besides_of(verdict)))
        cells = [
            "<br>".join([measure, *map(escaped, besides)]),
            escaped(value_of(verdict)),
            escaped(limit_of(verdict)),
        ]
    test = shortened(short(row["test"]), PROMPT)
    return "| " + " | ".join(
        [str(place), f"{SIGN[kind]} {kind}", *cells, _code(prompt), _code(test)]
    ) + " |"  # fmt: skip


def _commands(facts: RunFacts, rows: list[dict[str, Any]]) -> Iterator[str]:
    """One code block, with a fence that no command can close."""
    commands = [printable(rerun_of(row, facts)) for row in rows]
    longest = max((len(run) for c in commands for run in re.findall("`+", c)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}console"
    for place, command in enumerate(commands, 1):
        yield f"$ {command}  # {place}"
    yield fence
