"""What explains a verdict, as blocks that the page folds under its test.

A block has a title, and lines or a table. A further explanation is one more function from a row
that holds its facts to blocks; the page shows blocks of either form whatever they are about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.reports.phrases import measure_of
from pytest_llmdiff.reports.text import number, shortened

Block = dict[str, Any]
LONGEST = 2000  # columns of a line


def lines(title: str, found: Sequence[object]) -> Block:
    return {"title": title, "lines": [_text(line) for line in found]}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    return {"title": title, "head": list(head), "rows": [[_text(c) for c in row] for row in rows]}


def row_folds(row: Mapping[str, Any]) -> Iterator[Block]:
    """Of a test: what its checks found, and the figures behind each measure."""
    for verdict in row["verdicts"]:
        details = verdict["details"]
        for key, title in (
            ("problems", "What is wrong"),
            ("next", "What to do"),
            ("notes", "Notes"),
        ):
            if found := details.get(key):
                yield lines(f"{title}: {measure_of(verdict)}", found)
        if verdict["unsupported"]:
            yield lines(f"Why it was not judged: {measure_of(verdict)}", [verdict["unsupported"]])
        figures = [
            (key.replace("_", " "), value)
            for key, value in details.items()
            if isinstance(value, (str, int, float)) and value != ""
        ]
        if figures and verdict["outcome"] != "passed":
            yield table(f"Behind it: {measure_of(verdict)}", ("", ""), figures)
    for name, figures in row["many"].items():
        held = [(key, figures[key]) for key in ("count", "regressed", "median", "largest")]
        yield table(f"All values of {name}", ("", ""), held)


def comparison_folds(comparison: Mapping[str, Any]) -> Iterator[Block]:
    """Of one probe: what the training data has of it."""
    if comparison["nearest"]:
        yield table(
            "Nearest training examples",
            ("similarity", "example", "prompt", "answer to learn"),
            [
                (
                    near["similarity"],
                    f"{near['dataset']} {near['number']}",
                    near["prompt"],
                    "none" if near["answer"] is None else near["answer"],
                )
                for near in comparison["nearest"]
            ],
        )
    if (leak := comparison["leak"]) is not None:
        said = "this prompt" if leak["kind"] == "same" else "nearly this prompt"
        where = f"{leak['dataset']} {leak['number']}"
        yield lines("In the training data", [f"{said} is in the training data: {where}"])
    if comparison["near_tie"]:
        said = "rounding may have decided a token of this reply: two were as likely as it can tell"
        yield lines("A near-tie", [said])


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return shortened("none" if value is None else str(value), LONGEST)
