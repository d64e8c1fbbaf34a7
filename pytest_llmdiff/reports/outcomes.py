"""From pytest's reports to one row per test, sorted by what its outcome means."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

# failed: an assertion of the test's own. error: no verdict was reached (set-up failed, a model or
# scorer could not be had).
Kind = Literal["passed", "regressed", "inconclusive", "not judged", "failed", "error", "skipped"]
DIED = "???"  # what plugins call the phase of a test whose process died
FACTS = ("verdicts", "comparisons", "compared", "same", "many", "values", "case", "target")
KINDS: tuple[Kind, ...] = (
    "passed", "regressed", "inconclusive", "not judged", "failed", "error", "skipped",
)  # fmt: skip


def add_report(rows: dict[str, dict[str, Any]], report: pytest.TestReport) -> None:
    """Take one phase of a test into its row, or that the test's process died (no facts)."""
    facts = getattr(report, "llmdiff", {})
    if isinstance(facts, str):  # from another process
        facts = json.loads(facts)
    row = rows.get(report.nodeid)
    if row is None:
        file, line, _ = report.location
        row = rows[report.nodeid] = {
            "test": report.nodeid, "phases": {}, "message": None, "verdicts": [],
            "comparisons": [], "compared": 0, "same": 0, "many": {}, "values": {}, "case": "",
            "target": "", "file": file.replace(os.sep, "/"),
            "line": None if line is None else line + 1,
        }  # fmt: skip
    # Of the first try, or of another one; that a process died no later try makes good.
    if report.when == "setup" and DIED not in row["phases"]:
        row["phases"], row["message"] = {}, None
    # What pytest-rerunfailures calls "rerun" is a failure that is tried again.
    outcome = "failed" if report.outcome not in ("passed", "skipped") else report.outcome
    # Reports of subtests come first, and pytest fails their test only after this has seen it.
    if row["phases"].get(report.when) != "failed":
        row["phases"][report.when] = "xfailed" if hasattr(report, "wasxfail") else outcome
    if outcome == "failed" and row["message"] is None:
        crash = getattr(report.longrepr, "reprcrash", None)
        row["message"] = str(crash.message if crash is not None else report.longrepr)
        # Where the test's own line is known, a link to it leads further than one to its head.
        if crash is not None and Path(crash.path).as_posix().endswith("/" + row["file"]):
            row["line"] = crash.lineno
    if "case" in facts:  # the last phase brings what the test found
        row.update((name, facts[name]) for name in FACTS if name in facts)


def kind_of(row: dict[str, Any]) -> Kind:
    """What a test's outcome means for the tuned model."""
    phases = row["phases"]
    outcomes = {verdict["outcome"] for verdict in row["verdicts"]}
    if phases.get("call") == "failed":
        return _kind_of_failure(row, outcomes)
    if "failed" in phases.values():
        return "error"
    # Whatever the run makes of it (`llmdiff_inconclusive`), it is no pass.
    if phases.get("call") in ("passed", "xfailed") and "inconclusive" in outcomes:
        return "inconclusive"
    # A ready-made suite skips what its scorer cannot judge; that it was not judged is told.
    if phases.get("call") == "skipped" and outcomes == {"not judged"}:
        return "not judged"
    if "skipped" in phases.values() or "xfailed" in phases.values():
        return "skipped"
    return "passed" if phases.get("call") == "passed" else "error"


def _kind_of_failure(row: dict[str, Any], outcomes: set[str]) -> Kind:
    """The same of a test whose body failed, whatever its teardown did then."""
    if "regressed" in outcomes:
        return "regressed"
    if "inconclusive" in outcomes and "not judged" not in outcomes:
        return "inconclusive"
    if "not judged" in outcomes:
        return "not judged"
    message = row["message"] or ""
    # Helpers raise AssertionError; an LLMDiffError out of a test body is no judgement.
    return "error" if message.startswith("pytest_llmdiff.") else "failed"


def counts(rows: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = dict.fromkeys(KINDS, 0)
    for row in rows.values():
        found[kind_of(row)] += 1
    return found
