"""A summary in GitHub's Markdown, for reviewers: the answer first, then sets and replies, and the
rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.data.text.printing import counted, printable, shortened
from pytest_llmdiff.reports.advice import all_same
from pytest_llmdiff.reports.answer import Answer, answer_of
from pytest_llmdiff.reports.diff.forms.markdown import markdown_of
from pytest_llmdiff.reports.diff.forms.sections import MODEL, ranking_sections
from pytest_llmdiff.reports.diff.models import models_ranking
from pytest_llmdiff.reports.files.markup import code, escaped, reply_pair
from pytest_llmdiff.reports.order import (
    OPEN,
    Broken,
    broken_verdicts,
    comparison_of,
    decisive,
    short,
    worst_first,
)
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.run_facts import RunFacts, rerun_of
from pytest_llmdiff.reports.run_notes import accepted_notes, run_notes
from pytest_llmdiff.reports.verdict_cells import (
    besides_of,
    finding_of,
    interval_of,
    limit_of,
    measure_of,
    phrase_of,
    remedy_of,
    value_of,
)

# GitHub drops a larger summary of a step.
LARGEST = 1024 * 1024
PROMPT = 100  # columns
ROWS = 100
PAIRS = 5  # of replies
SETS = 20
NOTES = 50
ANSWERS = {"merge": "✅", "do not merge": "❌", "undecided": "❔"}
NOTHING = "➖"  # no answer, or a test that was skipped
WARNING = "⚠️"  # to merge, but nothing changed


def write_markdown(facts: RunFacts, path: Path) -> None:
    write_whole(path, markdown_text(facts, LARGEST))


def append_markdown(facts: RunFacts, path: Path) -> None:
    """Add the summary to those of other steps, as far as there is room for it."""
    taken = path.stat().st_size if path.exists() else 0
    with path.open("a", encoding="utf-8") as stream:
        stream.write(markdown_text(facts, LARGEST - taken - 1))


def markdown_text(facts: RunFacts, most: int) -> str:
    """At most `most` bytes: the head, and as many rows and replies as fit; nothing if the head does
    not fit."""
    open_ = [row for row in worst_first(facts.rows.values()) if kind_of(row) in OPEN]
    shown = min(ROWS, len(open_))
    while True:
        text = "".join(line + "\n" for line in _lines(facts, open_, shown))
        if len(text.encode()) <= most:
            return text
        if shown == 0:
            return ""
        shown //= 2


def _lines(facts: RunFacts, open_: Sequence[dict[str, Any]], shown: int) -> Iterator[str]:
    answer = answer_of(facts)
    yield from _head(facts, answer)
    if shown or not open_:  # everything else has to fit as well
        yield from _models(facts)
        yield from _sets(facts)
    broken = broken_verdicts(facts.rows.values())
    yield from _findings(broken[:shown])
    yield from _pairs(broken, min(PAIRS, shown))
    if answer is not None and answer.next:
        yield from ("**Next**", "", *(f"- {escaped(hint)}" for hint in answer.next), "")
    if facts.settings.html is not None and "html" not in facts.unwritten:
        page = code(facts.settings.html.name)
        yield from (f"Every reply is on the page {page}, if this job keeps it as an artifact.", "")
    if open_:
        yield from _folded(_title(len(open_), shown), _table(open_, shown))
    if shown:
        yield from _folded("Run them again", _commands(facts, open_[:shown]))
    notes = [*facts.warnings, *run_notes(facts)]
    if notes and (shown or not open_):
        listed = (f"- {escaped(shortened(note, 400))}" for note in notes[:NOTES])
        yield from _folded(counted(len(notes), "note"), listed)


def _head(facts: RunFacts, answer: Answer | None) -> Iterator[str]:
    """The answer and its causes, the number of tests by outcome, and the models."""
    rows = list(facts.rows.values())
    if answer is None:
        yield f"## {NOTHING} llmdiff: {'no answer' if rows else 'no test used the models'}"
    else:
        mark = ANSWERS[answer.decision]
        if answer.decision == "merge" and all_same(rows):
            mark = WARNING
        yield f"## {mark} llmdiff: {answer.heading} (exit code {facts.exit_code})"
        if answer.causes:
            yield from ("", *(f"- {escaped(line)}" for line in answer.lines()))
    yield ""
    if rows:
        outcomes = [f"{count} {name}" for name, count in counts(facts.rows).items() if count]
        yield from (f"{counted(len(rows), 'test')} with models: {', '.join(outcomes)}", "")
    models = " → ".join(
        code(str(spec)) for spec in (facts.settings.base, facts.settings.tuned_text)
    )
    ran = ", ".join(f"{escaped(name)} {code(value)}" for name, value in facts.resolved.items())
    yield from (f"{models}{' on ' if ran else ''}{ran}", "")
    for note in accepted_notes(facts):
        yield from (escaped(shortened(note, 400)), "")


def _models(facts: RunFacts) -> Iterator[str]:
    """The ranking of several tuned models."""
    if (ranking := models_ranking(facts)) is not None:
        yield from markdown_of(ranking_sections(ranking, MODEL)).splitlines()


def _sets(facts: RunFacts) -> Iterator[str]:
    """The verdicts on sets, those that did not pass first."""
    found = [
        (row, verdict)
        for row in worst_first(facts.rows.values())
        for verdict in row["verdicts"]
        if verdict["set"]
    ]
    if not found:
        return
    found.sort(key=lambda each: each[1]["outcome"] == "passed")
    yield from ("| | set | value | limit | test |", "|---|---|--:|--:|---|")
    for row, verdict in found[:SETS]:
        mark = _mark(row, passed=verdict["outcome"] == "passed")
        outcome = f"{mark} {escaped(verdict['outcome'])}"
        yield _cells(outcome, *_verdict_cells(verdict), _test(row))
    if len(found) > SETS:
        yield from ("", f"and {counted(len(found) - SETS, 'other verdict')} on sets")
    yield ""


def _findings(broken: Iterable[Broken]) -> Iterator[str]:
    """What checks of the models found, and what to do: they have no replies to show."""
    lines = [
        f"- {escaped(measure_of(v))}: {escaped(finding_of(v))}. **{escaped(remedy_of(v))}**"
        for v in (each.verdict for each in broken)
        if finding_of(v) and remedy_of(v)
    ]
    if lines:
        yield from (*dict.fromkeys(lines), "")


def _pairs(broken: Iterable[Broken], most: int) -> Iterator[str]:
    """The worst replies in full, each once."""
    seen = set[tuple[str, str, str]]()
    for each in broken:
        comparison = comparison_of(each.row, each.verdict)
        if comparison is None or len(seen) >= most:
            continue
        texts = comparison["base"]["text"], comparison["tuned"]["text"]
        if (key := (comparison["prompt"], *texts)) not in seen:
            seen.add(key)
            prompt = code(shortened(printable(comparison["prompt"]), 4 * PROMPT))
            yield f"**{len(seen)}. {escaped(shortened(phrase_of(each.verdict), 2 * PROMPT))}**"
            yield from (f"<br>{prompt}", "", *reply_pair(comparison["sides"], texts), "")


def _title(count: int, shown: int) -> str:
    """How many tests did not pass, and how many of these are left out."""
    left = f" ({count - shown} of them not here, but in the other reports)" if count > shown else ""
    return f"{counted(count, 'test')} did not pass{left}"


def _table(open_: Sequence[dict[str, Any]], shown: int) -> Iterator[str]:
    if shown:
        yield from ("| | outcome | measure | value | limit | prompt | test |",
                    "|--:|---|---|--:|--:|---|---|")  # fmt: skip
    for place, row in enumerate(open_[:shown], 1):
        verdict = decisive(row)
        comparison = comparison_of(row, verdict)
        prompt = "" if comparison is None else shortened(comparison["prompt"], PROMPT)
        cells = ("", "", "") if verdict is None else _verdict_cells(verdict)
        outcome = f"{_mark(row, passed=False)} {kind_of(row)}"
        yield _cells(str(place), outcome, *cells, code(prompt), _test(row))


def _mark(row: Mapping[str, Any], *, passed: bool) -> str:
    """A cross only where it made the run fail."""
    if passed:
        return ANSWERS["merge"]
    failed = "failed" in row["phases"].values()
    red = failed and kind_of(row) not in ("inconclusive", "not judged")
    return ANSWERS["do not merge" if red else "undecided"]


def _verdict_cells(verdict: Mapping[str, Any]) -> tuple[str, str, str]:
    """Measure, value and limit; of what is counted, what was found."""
    besides = (interval_of(verdict), besides_of(verdict), finding_of(verdict), remedy_of(verdict))
    measure = "<br>".join(escaped(text) for text in (measure_of(verdict), *besides) if text)
    if finding_of(verdict):
        return measure, "", ""
    return measure, escaped(value_of(verdict)), escaped(limit_of(verdict))


def _test(row: Mapping[str, Any]) -> str:
    return code(shortened(short(row["test"]), PROMPT))


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "")


def _commands(facts: RunFacts, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One code block, with a fence that no command can close."""
    commands = [printable(rerun_of(row, facts)) for row in rows]
    longest = max((len(run) for c in commands for run in re.findall("`+", c)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}console"
    for place, command in enumerate(commands, 1):
        yield f"$ {command}  # {place}"
    yield fence
