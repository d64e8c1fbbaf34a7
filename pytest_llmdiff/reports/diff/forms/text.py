"""Changes between runs, and rankings of runs, for a terminal: what got worse comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import counted, marked, number, printable, shortened
from pytest_llmdiff.reports.diff.choice import front_text, gap_text, keep_line
from pytest_llmdiff.reports.diff.diff import Changed, Changes, Moved
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

SHOWN = 20  # tests of a kind, and measures
REPLIES = 5
SHIFTS = 3  # values of a reply


def changes_lines(changes: Changes) -> Iterator[str]:
    before, after = changes.tests
    yield f"{before} tests before, {after} after"
    for name, was, now in changes.settings:
        yield f"  {name} changed: {setting_text(was)} → {setting_text(now)}"
    for side, (changed, count) in changes.counted.items():
        if changed:
            yield f"  {changed} of {count} replies of the {side} model differ"
    yield from _tests("got worse", changes.worse)
    yield from _tests("gone", changes.gone)
    yield from _tests("fixed", changes.fixed)
    yield from _tests("otherwise changed", changes.other)
    yield from _tests("new", changes.new)
    yield from _measures(changes.moved)
    yield from _replies(changes.replies)
    if changes.got_worse:
        yield f"worse: {len(changes.worse)} tests got worse, {len(changes.gone)} are gone"
    else:
        yield "nothing got worse"


def _tests(title: str, tests: Sequence[Changed]) -> Iterator[str]:
    if tests:
        yield f"{title}: {len(tests)}"
    for change in tests[:SHOWN]:
        outcomes = [outcome_text(o) for o in (change.before, change.after) if o is not None]
        yield f"  {printable(change.test)}: {' → '.join(outcomes)}"
    if len(tests) > SHOWN:
        yield f"  and {len(tests) - SHOWN} more"


def _measures(moved: Sequence[Moved]) -> Iterator[str]:
    if not moved:
        return
    yield "moved:"
    values: dict[str, list[tuple[float, float]]] = {}
    for move in moved:
        shift = move.shift
        if shift.before is not None and shift.after is not None:
            values.setdefault(shift.name, []).append((shift.before, shift.after))
    for name, pairs in values.items():
        if len(pairs) > 1:
            was, now = (number(median(side)) for side in zip(*pairs, strict=True))
            yield f"  {printable(name)}: median {was} → {now} over the {len(pairs)} that moved"
    for move in moved[:SHOWN]:
        limit = limit_text(move.shift)
        besides = f" ({limit})" if limit else ""
        yield (
            f"  {printable(move.shift.name)} {moved_text(move.shift)}{besides}  "
            f"{printable(move.test)}"
        )
    if len(moved) > SHOWN:
        yield f"  and {len(moved) - SHOWN} more"


def _replies(changes: Sequence[ReplyChange]) -> Iterator[str]:
    if changes:
        yield "other replies, the worst first:"
    for change in changes[:REPLIES]:
        at = first_difference(change.before, change.after)
        yield f"  {printable(change.probe)}"
        yield f"    prompt {shortened(printable(change.prompt))}"
        for name, reply in (("old", change.before), ("new", change.after)):
            yield f"    {name:<6} {marked(reply, at) if reply else '(empty)'}"
        for shift in change.shifts[:SHIFTS]:
            limit = limit_text(shift)
            besides = f" ({limit})" if limit else ""
            yield f"    {printable(shift.name)} {moved_text(shift)}{besides}"
    if len(changes) > REPLIES:
        yield f"  and {len(changes) - REPLIES} more (--html, --markdown and --json have more)"


def ranking_lines(ranking: Ranking, what: str = "report") -> Iterator[str]:
    """`what` is what each row is of."""
    reports = counted(len(ranking.rows), what)
    yield f"{reports}, the best first; {counted(ranking.shared, 'test')} in all of them"
    for row in ranking.rows:
        yield f"  {row.place}. {printable(row.report)} ({printable(row.tuned)}): " + outcomes_text(
            row
        )
    for place, column in enumerate(ranking.columns):
        yield column_title(column)
        for row in ranking.rows:
            yield f"  {printable(row.report)}: {cell_text(row.cells[place], column)}"
    yield from found_lines(ranking)


def found_lines(ranking: Ranking) -> Iterator[str]:
    """Which differences are real, and what that comes to: the last line says what to keep."""
    if real := [gap for gap in ranking.gaps if gap.real]:
        yield "differences that are real:"
    for gap in real[:SHOWN]:
        yield f"  {printable(gap.better)}: {gap_text(gap, ranking.columns)}"
    if len(real) > SHOWN:
        yield f"  and {len(real) - SHOWN} more"
    if real:
        yield f"not beaten by any other: {front_text(ranking)}"
    if line := keep_line(ranking.keep, ranking.because):
        yield line
