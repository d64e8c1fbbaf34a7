"""The changes between two runs as text: what got worse comes first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from pytest_llmdiff.data.text.printing import number, printable, shortened
from pytest_llmdiff.reports.diff.diff import Changed, Changes, Moved

SHOWN = 20  # tests of a kind, and measures


def changes_lines(changes: Changes) -> Iterator[str]:
    before, after = changes.tests
    yield f"{before} tests before, {after} after"
    for name, was, now in changes.settings:
        yield f"  {name} changed: {_value(was)} → {_value(now)}"
    for side, (changed, count) in changes.replies.items():
        if changed:
            yield f"  {changed} of {count} replies of the {side} model differ"
    yield from _tests("got worse", changes.worse)
    yield from _tests("gone", changes.gone)
    yield from _tests("fixed", changes.fixed)
    yield from _tests("otherwise changed", changes.other)
    yield from _tests("new", changes.new)
    yield from _measures(changes.moved)
    if changes.got_worse:
        yield f"worse: {len(changes.worse)} tests got worse, {len(changes.gone)} are gone"
    else:
        yield "nothing got worse"


def _tests(title: str, tests: Sequence[Changed]) -> Iterator[str]:
    if tests:
        yield f"{title}: {len(tests)}"
    for change in tests[:SHOWN]:
        outcomes = [_outcome(o) for o in (change.before, change.after) if o is not None]
        yield f"  {printable(change.test)}: {' → '.join(outcomes)}"
    if len(tests) > SHOWN:
        yield f"  and {len(tests) - SHOWN} more"


def _measures(moved: Sequence[Moved]) -> Iterator[str]:
    if not moved:
        return
    yield "moved:"
    values: dict[str, list[tuple[float, float]]] = {}
    for move in moved:
        if move.before is not None and move.after is not None:
            values.setdefault(move.name, []).append((move.before, move.after))
    for name, pairs in values.items():
        if len(pairs) > 1:
            was, now = (number(median(side)) for side in zip(*pairs, strict=True))
            yield f"  {printable(name)}: median {was} → {now} over the {len(pairs)} that moved"
    for move in moved[:SHOWN]:
        was, now = (_number(value) for value in (move.before, move.after))
        yield f"  {printable(move.name)} {was} → {now}{_limit(move)}  {printable(move.test)}"
    if len(moved) > SHOWN:
        yield f"  and {len(moved) - SHOWN} more"


def _limit(moved: Moved) -> str:
    if moved.limit_after is None and moved.limit_before is None:
        return ""
    word = "at least" if moved.bound == "at_least" else "limit"
    was, now = (_number(value) for value in (moved.limit_before, moved.limit_after))
    return f" ({word} {now})" if was == now else f" ({word} {was} → {now})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{float(value):.4g}"


def _outcome(outcome: str) -> str:
    return printable(outcome.replace("_", " "))


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(printable(text), 80)
