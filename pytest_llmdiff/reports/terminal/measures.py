"""The values of each measure in a run, as lines of the summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_llmdiff.data.text.printing import number, printable
from pytest_llmdiff.reports.order import named, short
from pytest_llmdiff.reports.outcomes import unmeasured
from pytest_llmdiff.reports.verdict_cells import (
    bounds_of,
    interval_of,
    judged_of,
    measure_of,
    small_groups_of,
)


def measure_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Median and largest value of every measure, and the estimate of every set."""
    values: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    units: dict[str, str] = {}
    for row in rows:
        # A value with two limits has two verdicts, and counts once.
        for name, verdict in {v["name"]: v for v in row["verdicts"] if not v["set"]}.items():
            if name in row["many"]:
                continue
            if verdict["value"] is not None and not name.startswith("wiring ("):
                values.setdefault(name, []).append((verdict["value"], row))
                units[name] = verdict["unit"]
    many = [(row["test"], name, f) for row in rows for name, f in row["many"].items()]
    sets = [(row["test"], v) for row in rows for v in row["verdicts"] if v["set"]]
    missing = unmeasured(rows)
    if values or many or sets:
        yield "measures:"
    for name, measured in values.items():
        largest = max(value for value, _ in measured)
        test = max(named(row) for value, row in measured if value == largest)
        where = f"  {printable(test)}" if largest > 0 else ""
        if missing[name]:
            where += f" ({len(measured)} of {len(measured) + missing[name]} measured)"
        yield (
            f"  {name:<16} median {number(_median([v for v, _ in measured])):>7}   "
            f"largest {number(largest):>7} {units[name]}{where}"
        )
    for test, name, figures in many:
        yield (
            f"  {name:<16} median {number(figures['median']):>7}   "
            f"largest {number(figures['largest']):>7} {figures['unit']}  {short(test)} "
            f"({figures['count']} values)"
        )
    for test, verdict in sets:
        yield f"  {printable(_set_line(verdict))}  {short(test)}"


def _median(values: list[float]) -> float:
    """Without `statistics`, whose import would take longer than the rest of the summary."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _set_line(verdict: dict[str, Any]) -> str:
    held = verdict["set"]
    if not held["judged"]:
        return f"{measure_of(verdict)} not judged: {interval_of(verdict)}"
    value = number(verdict["value"]) if verdict["value"] is not None else "not finite"
    line = f"{measure_of(verdict)} {value} ({bounds_of(held)}) over {judged_of(held)}"
    small = small_groups_of(verdict["details"])
    return f"{line}; {small}" if small else line
