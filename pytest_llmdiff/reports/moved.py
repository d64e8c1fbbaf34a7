"""How far each measure moved in a run."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from pytest_llmdiff.reports.order import short
from pytest_llmdiff.reports.phrases import judged_of
from pytest_llmdiff.reports.text import INTERVAL, number, printable
from pytest_llmdiff.verdicts.verdict import label


def moved_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Median and largest value of every measure."""
    values: dict[str, list[tuple[float, str]]] = {}
    units: dict[str, str] = {}
    for row in rows:
        # A value that is held against two limits is one value.
        for name, verdict in {v["name"]: v for v in row["verdicts"] if not v["set"]}.items():
            if name in row["many"]:
                continue
            if verdict["value"] is not None and not name.startswith("wiring ("):
                values.setdefault(name, []).append((verdict["value"], row["test"]))
                units[name] = verdict["unit"]
    many = [(row["test"], name, f) for row in rows for name, f in row["many"].items()]
    sets = [(row["test"], v) for row in rows for v in row["verdicts"] if v["set"]]
    if values or many or sets:
        yield "moved:"
    for name, found in values.items():
        largest, test = max(found)
        where = f"  {short(test)}" if largest > 0 else ""
        yield (
            f"  {name:<16} median {number(median(v for v, _ in found)):>7}   "
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


def _set_line(verdict: dict[str, Any]) -> str:
    found = verdict["set"]
    ends = [number(found[end]) if found[end] is not None else "?" for end in ("low", "high")]
    value = number(verdict["value"]) if verdict["value"] is not None else "not finite"
    name = label(verdict["name"], found["scope"])
    return f"{name} {value} ({INTERVAL} {ends[0]} to {ends[1]}) over {judged_of(found)}"
