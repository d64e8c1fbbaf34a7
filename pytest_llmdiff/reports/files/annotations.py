"""GitHub's annotations: an error beside the line of the test that failed.

The form is that of GitHub's workflow commands (docs.github.com, "Workflow commands for GitHub
Actions").
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.reports.order import OPEN, decisive, short, worst_first
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.reports.verdict_cells import phrase_of

# GitHub shows this many errors of a step, and as many warnings.
SHOWN = 10
LINES = 12  # of a failure's text


def annotation_lines(facts: RunFacts, root: Path, workspace: Path) -> Iterator[str]:
    """One annotation for each line of the tests with failures, the worst first."""
    places: dict[tuple[str | None, int | None], list[dict[str, Any]]] = {}
    for row in worst_first(facts.rows.values()):
        if kind_of(row) in OPEN:
            file = _file(root / row["file"], workspace)
            places.setdefault((file, row["line"] if file else None), []).append(row)
    left = {"error": SHOWN, "warning": SHOWN}
    for (file, line), rows in places.items():
        level = "error" if any("failed" in row["phases"].values() for row in rows) else "warning"
        if left[level]:
            left[level] -= 1
            yield _annotation(level, file, line, rows)


def _file(path: Path, workspace: Path) -> str | None:
    """The path in the repository; None for files elsewhere, such as the ready-made suites."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(workspace))
    return None if inside.startswith("..") else Path(inside).as_posix()


def _annotation(level: str, file: str | None, line: int | None, rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    verdict = decisive(first)
    what = kind_of(first) if verdict is None else phrase_of(verdict)
    more = f" (and {len(rows) - 1} more cases)" if len(rows) > 1 else ""
    text = [short(first["test"]), *(first["message"] or "").splitlines()[:LINES]]
    properties = {"file": file, "line": line, "title": f"llmdiff: {what}{more}"}
    shown = ",".join(f"{k}={_property(str(v))}" for k, v in properties.items() if v is not None)
    message = "\n".join(shortened(printable(line)) for line in text)
    return f"::{level} {shown}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
