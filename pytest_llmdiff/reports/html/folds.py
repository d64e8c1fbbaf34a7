"""The blocks that the page folds below a test and below a probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.explain import KINDS, load_kinds
from pytest_llmdiff.explain.blocks import Block, lines, table
from pytest_llmdiff.reports.verdict_cells import measure_of

TITLES = {"problems": "What is wrong", "next": "What to do", "notes": "Notes"}


def row_folds(row: Mapping[str, Any]) -> Iterator[Block]:
    """What the checks of a test found, and the figures behind each measure."""
    for verdict in row["verdicts"]:
        details, measure = verdict["details"], measure_of(verdict)
        for key, title in TITLES.items():
            if texts := details.get(key):
                yield lines(f"{title}: {measure}", texts)
        if verdict["unsupported"]:
            yield lines(f"Why it was not judged: {measure}", [verdict["unsupported"]])
        figures = [
            (key.replace("_", " "), value)
            for key, value in details.items()
            if isinstance(value, (str, int, float)) and value != ""
        ]
        if figures and verdict["outcome"] != "passed":
            yield table(f"Details: {measure}", ("", ""), figures)
    for name, figures in row["many"].items():
        held = [(key, figures[key]) for key in ("count", "regressed", "median", "largest")]
        yield table(f"All values of {name}", ("", ""), held)


def comparison_folds(comparison: Mapping[str, Any]) -> Iterator[Block]:
    """What explains a probe's replies. A block without a tab belongs to the replies."""
    for kind in load_kinds({name for name in KINDS if comparison[name]}).values():
        yield from (block | {"tab": kind.tab} for block in kind.page(comparison))
    if (leak := comparison["leak"]) is not None:
        prompt = "this prompt" if leak["kind"] == "same" else "nearly this prompt"
        where = f"{leak['dataset']} {leak['number']}"
        yield lines("In the training data", [f"{prompt} is in the training data: {where}"])
    if comparison["near_tie"]:
        text = (
            "rounding may have decided a token of this reply: two tokens were about equally likely"
        )
        yield lines("A near-tie", [text])
