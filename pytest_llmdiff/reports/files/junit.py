"""The properties of a test in JUnit files, besides its measures: short, for a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.reports.order import comparison_of, decisive
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.verdict_cells import phrase_of

LONGEST = 200  # columns


def properties(row: dict[str, Any], options: str) -> Iterator[tuple[str, str]]:
    """Names and values; pytest writes them into the test's `<properties>`."""
    kind, verdict = kind_of(row), decisive(row)
    yield "llmdiff outcome", kind
    if verdict is not None:
        yield "llmdiff verdict", phrase_of(verdict)
    comparison = comparison_of(row, verdict)
    if comparison is not None:
        yield "llmdiff prompt", shortened(printable(comparison["prompt"]), LONGEST)
    if kind not in ("passed", "skipped"):
        yield "llmdiff rerun", f"pytest {row['target']} {options}"
