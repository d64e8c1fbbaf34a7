"""What JUnit files have of a test besides its measures: short, and readable in a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_llmdiff.reports.order import comparison_of, decisive
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.phrases import phrase_of
from pytest_llmdiff.reports.text import printable, shortened

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
