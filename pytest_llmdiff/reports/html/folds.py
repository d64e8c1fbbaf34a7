"""What explains a verdict, as blocks that the page folds under its test.

A block has a title, and lines, a table or tokens. A further explanation is one more function from
a row that holds its facts to blocks; the page shows blocks of each form whatever they are about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.reports.phrases import measure_of
from pytest_llmdiff.reports.text import number, printable, shortened

Block = dict[str, Any]
LONGEST = 2000  # columns of a line
STEPS = 6  # of marking
STRONG = 3.0  # nats from which on a token is marked at full strength


def lines(title: str, found: Sequence[object]) -> Block:
    return {"title": title, "lines": [_text(line) for line in found]}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    return {"title": title, "head": list(head), "rows": [[_text(c) for c in row] for row in rows]}


def tokens(title: str, note: str, found: Sequence[tuple[str, float, str]]) -> Block:
    """Pieces of a text, each with how strongly it is marked, 0 to 1, and what is said of it."""
    return {
        "title": title,
        "note": note,
        "tokens": [[_visible(text), round(heat * STEPS), said] for text, heat, said in found],
    }


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
    """Of one probe: its replies token by token, and what the training data has of it."""
    if (seen := comparison["seen"]) is not None:
        yield from _seen_folds(seen, comparison["sides"])
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


def _seen_folds(seen: Mapping[str, Any], names: Sequence[str]) -> Iterator[Block]:
    first, second = names
    if seen["base_likely"]:
        yield table(
            f"Next tokens where the replies part (token {seen['at'] + 1})",
            (first, "probability", second, "probability"),
            [
                (ours[0], ours[1], theirs[0], theirs[1])
                for ours, theirs in zip(seen["base_likely"], seen["tuned_likely"], strict=True)
            ],
        )
    for side, name in zip(("base", "tuned"), names, strict=True):
        yield tokens(
            f"Reply of {name}, token by token",
            f"The darker a token, the further apart the models are there (KL({first}‖{second}) in "
            f"nats, full strength from {STRONG:g}).",
            [
                (
                    text,
                    0.0 if kl is None else min(kl / STRONG, 1.0),
                    f"KL {number(kl)} nats; probability {first} {_probability(base)}, "
                    f"{second} {_probability(tuned)}",
                )
                for text, kl, base, tuned in seen[side]
            ],
        )


def _probability(logprob: float | None) -> str:
    return "0" if logprob is None else number(math.exp(logprob))


def _visible(text: str) -> str:
    """A token that can be told from nothing, and a line end that can be seen."""
    return printable(text).replace("\\n", "⏎\n")


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return shortened("none" if value is None else str(value), LONGEST)
