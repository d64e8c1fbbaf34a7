"""What a comparison of runs shows, as sections of lines and tables: for the page and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmdiff.data.text.printing import counted, printable
from pytest_llmdiff.reports.alignment import segments
from pytest_llmdiff.reports.diff.choice import gap_text, keep_line
from pytest_llmdiff.reports.diff.diff import Changed, Changes
from pytest_llmdiff.reports.diff.forms.cells import (
    cell_text,
    column_title,
    limit_text,
    moved_text,
    outcome_text,
    outcomes_text,
    setting_text,
)
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.diff.replies import ReplyChange

MODEL = "tuned model"  # what a row is of where a run has several
SHOWN = 200  # rows of a table; the JSON form has all
REPLIES = 100


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A reply in pieces, each with whether the other run's reply has it too."""

    pieces: tuple[tuple[str, bool], ...]
    old: bool


Cell = str | Marked


@dataclass(frozen=True, kw_only=True)
class Section:
    """A title with lines, a table, or both. `hidden` counts the rows that are left out."""

    title: str
    lines: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    hidden: int = 0


def changes_sections(changes: Changes) -> Iterator[Section]:
    """The first one is the result."""
    before, after = changes.tests
    if changes.got_worse:
        gone = f"{counted(len(changes.gone), 'test')} gone"
        title = f"{counted(len(changes.worse), 'test')} got worse, {gone}"
    else:
        title = "Nothing got worse"
    replies = [
        f"{changed} of {count} replies of the {side} model differ"
        for side, (changed, count) in changes.counted.items()
    ]
    yield Section(title=title, lines=(f"{before} tests before, {after} after", *replies))
    yield from _table(
        "What differs between the runs",
        ("setting", "before", "after"),
        [(name, setting_text(was), setting_text(now)) for name, was, now in changes.settings],
    )
    for title, tests in (
        ("Got worse", changes.worse), ("Gone", changes.gone), ("Fixed", changes.fixed),
        ("Otherwise changed", changes.other), ("New", changes.new),
    ):  # fmt: skip
        yield from _table(title, ("test", "before", "after"), list(map(_test, tests)))
    yield from _table(
        "Values that moved, the worst first",
        ("measure", "before → after", "limit", "test"),
        [
            (move.shift.name, moved_text(move.shift), limit_text(move.shift), move.test)
            for move in changes.moved
        ],
    )
    yield from _table(
        "Other replies, the worst first",
        ("prompt", "old reply", "new reply", "values"),
        [_reply(change) for change in changes.replies[:REPLIES]],
        hidden=max(0, len(changes.replies) - REPLIES),
    )


def ranking_sections(ranking: Ranking, what: str = "report") -> Iterator[Section]:
    """The first one is the result; `what` is what each row is of."""
    title = keep_line(ranking.keep, ranking.because) or "Ranking"
    rows = f"{counted(len(ranking.rows), what)}, the best first"
    shared = f"{counted(ranking.shared, 'test')} in all of them"
    yield Section(title=title, lines=(f"{rows}; {shared}",))
    columns = ranking.columns
    yield from _table(
        "Ranking",
        (
            "place", what, "SPEC" if what == MODEL else MODEL, "tests", "beaten",
            *map(column_title, columns),
        ),
        [
            (
                str(row.place), row.report, row.tuned, outcomes_text(row),
                "no" if row.front else "yes",
                *(cell_text(c, column) for c, column in zip(row.cells, columns, strict=True)),
            )
            for row in ranking.rows
        ],
    )  # fmt: skip
    yield from _table(
        "Differences that are real",
        ("better", "worse", "by how much"),
        [
            (gap.better, gap.worse, gap_text(gap, columns))
            for gap in ranking.gaps if gap.real
        ],
    )  # fmt: skip


def _table(
    title: str, head: Sequence[str], rows: Sequence[tuple[Cell, ...]], *, hidden: int = 0
) -> Iterator[Section]:
    if rows:
        yield Section(
            title=title, head=tuple(head), rows=tuple(rows[:SHOWN]),
            hidden=hidden + max(0, len(rows) - SHOWN),
        )  # fmt: skip


def _test(change: Changed) -> tuple[Cell, ...]:
    outcomes = ("" if o is None else outcome_text(o) for o in (change.before, change.after))
    return (change.test, *outcomes)


def _reply(change: ReplyChange) -> tuple[Cell, ...]:
    pieces = segments(change.before, change.after)
    sides = (
        Marked(pieces=tuple((p[1:], p[0] == "=") for p in pieces if p[0] in f"={sign}"), old=old)
        for sign, old in (("-", True), ("+", False))
    )
    values = (f"{printable(shift.name)} {moved_text(shift)}" for shift in change.shifts)
    return (change.prompt, *sides, "; ".join(values))
