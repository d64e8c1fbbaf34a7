"""The text of what is other between two runs: what got worse comes first."""

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
        yield f"  other {name}: {_value(was)} → {_value(now)}"
    for side, (other, all_) in changes.replies.items():
        if other:
            yield f"  {other} of {all_} replies of the {side} model are other"
    yield from _tests("got worse", changes.worse)
    yield from _tests("gone", changes.gone)
    yield from _tests("mended", changes.mended)
    yield from _tests("other", changes.other)
    yield from _tests("new", changes.new)
    yield from _measures(changes.moved)
    if changes.got_worse:
        yield f"worse: {len(changes.worse)} tests got worse, {len(changes.gone)} are gone"
    else:
        yield "nothing got worse"


def _tests(title: str, found: Sequence[Changed]) -> Iterator[str]:
    if found:
        yield f"{title}: {len(found)}"
    for change in found[:SHOWN]:
        outcomes = [_outcome(o) for o in (change.before, change.after) if o is not None]
        yield f"  {printable(change.test)}: {' → '.join(outcomes)}"
    if len(found) > SHOWN:
        yield f"  and {len(found) - SHOWN} more"


def _measures(moved: Sequence[Moved]) -> Iterator[str]:
    if not moved:
        return
    yield "moved:"
    values: dict[str, list[tuple[float, float]]] = {}
    for found in moved:
        if found.before is not None and found.after is not None:
            values.setdefault(found.name, []).append((found.before, found.after))
    for name, pairs in values.items():
        if len(pairs) > 1:
            was, now = (number(median(side)) for side in zip(*pairs, strict=True))
            yield f"  {printable(name)}: median {was} → {now} over the {len(pairs)} that moved"
    for found in moved[:SHOWN]:
        was, now = (_number(value) for value in (found.before, found.after))
        yield f"  {printable(found.name)} {was} → {now}{_limit(found)}  {printable(found.test)}"
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
