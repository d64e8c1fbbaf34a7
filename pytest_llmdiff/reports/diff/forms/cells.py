"""Values of two or more runs as short texts, for every form of the comparison."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmdiff.data.text.printing import number, printable, shortened
from pytest_llmdiff.reports.diff.ranked import Cell, Column, Row
from pytest_llmdiff.reports.diff.shifts import Shift
from pytest_llmdiff.reports.order import short

DECISIONS = {"merge": "merge", "do_not_merge": "do not merge", "undecided": "undecided"}


def moved_text(shift: Shift) -> str:
    return f"{_number(shift.before)} → {_number(shift.after)}"


def limit_text(shift: Shift) -> str:
    """Empty where neither run has a limit."""
    if shift.limit_after is None and shift.limit_before is None:
        return ""
    word = _word(shift.bound)
    was, now = (_number(value) for value in (shift.limit_before, shift.limit_after))
    return f"{word} {now}" if was == now else f"{word} {was} → {now}"


def _word(bound: str | None) -> str:
    return "at least" if bound == "at_least" else "limit"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{float(value):.4g}"


def outcome_text(outcome: str) -> str:
    return printable(outcome.replace("_", " "))


def setting_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(printable(text), 80)


def outcomes_text(row: Row) -> str:
    """The answer of a run, and its tests by outcome."""
    counts = [f"{count} {outcome_text(outcome)}" for outcome, count in row.outcomes.items()]
    missing = [f"{row.missing} missing"] * bool(row.missing)
    tests = ", ".join([*counts, *missing]) or "no tests"
    decision = DECISIONS.get(row.decision or "")
    return f"{decision}; {tests}" if decision else tests


def column_title(column: Column) -> str:
    return f"{printable(column.name)}  {printable(short(column.test))}"


def cell_text(cell: Cell | None, column: Column) -> str:
    """`0.12 (0.05 to 0.20), limit 0.10, regressed`."""
    if cell is None:
        return "not measured"
    parts = ["not judged" if cell.value is None else number(cell.value)]
    if cell.low is not None or cell.high is not None:
        parts[0] += f" ({number(cell.low)} to {number(cell.high)})"
    if cell.value is not None and cell.verdicts > 1:
        parts[0] += f" (mean of {cell.of})"
    if cell.limit is not None:
        parts.append(f"{_word(column.bound)} {number(cell.limit)}")
    if cell.regressed:
        each = f" in {cell.regressed} of {cell.verdicts}" if cell.verdicts > 1 else ""
        parts.append(f"regressed{each}")
    return ", ".join(parts)
