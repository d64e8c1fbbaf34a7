"""The worst tests of a run, with the replies side by side if the terminal is wide enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import counted, number, printable, shortened
from pytest_llmdiff.reports.order import Broken, comparison_of, short
from pytest_llmdiff.reports.terminal.replies import pair_lines
from pytest_llmdiff.reports.terminal.styles import Line
from pytest_llmdiff.reports.verdict_cells import (
    besides_of,
    finding_of,
    group_of,
    measure_of,
    numbers_of,
    remedy_of,
    value_of,
)

WORST = 5
WIDE = 120  # columns of a terminal from which replies stand side by side


def worst_lines(broken: Sequence[Broken], width: int) -> Iterator[Line]:
    """The first tests among the `broken` verdicts, which are sorted, each by its worst one."""
    by_test: dict[str, Broken] = {}
    for each in broken:
        by_test.setdefault(each.row["test"], each)
    yield Line.of("worst first:", "head")
    for each in list(by_test.values())[:WORST]:
        verdict = each.verdict
        held = f"  {printable(_broken(verdict))}"
        yield Line.of(held, "bad", f"{_p(verdict)}  {printable(short(each.row['test']))}")
        if remedy := remedy_of(verdict):
            yield Line.of(f"    next    {printable(remedy)}")
        if besides := besides_of(verdict):
            yield Line.of(f"    {printable(besides)}")
        comparison = comparison_of(each.row, verdict)
        if comparison is not None:
            yield from _shown(comparison, width)
    if len(by_test) > WORST:
        yield Line.of(f"  and {counted(len(by_test) - WORST, 'other test')}")


def _broken(verdict: Mapping[str, Any]) -> str:
    if finding := finding_of(verdict):
        return f"{measure_of(verdict)}: {finding}"
    sign = ">" if verdict["bound"] == "at_most" else "<"
    value = f"of {group}" if (group := group_of(verdict)) else value_of(verdict)
    return f"{measure_of(verdict)} {value} {sign} {numbers_of(verdict)[1]}"


def _p(verdict: Mapping[str, Any]) -> str:
    if verdict["p"] is None:
        return ""
    return f" (p {number(verdict['p'])}, adjusted for the run {number(verdict['adjusted'])})"


def _shown(comparison: Mapping[str, Any], width: int) -> Iterator[Line]:
    yield Line.of(f"    prompt  {shortened(printable(comparison['prompt']), max(100, width - 13))}")
    names = comparison["sides"]
    texts = [comparison[side]["text"] for side in ("base", "tuned")]
    if width < WIDE:
        yield Line.of(f"    {names[1]:<7} {shortened(printable(texts[1]), 100)}")
        return
    yield from pair_lines(names, texts, width)
