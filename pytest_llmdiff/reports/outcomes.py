"""Collects pytest's reports into one row per test, and classifies its outcome."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

# failed: an assertion of the test itself failed. error: there is no verdict (set-up failed, or a
# model or scorer was unavailable).
Kind = Literal["passed", "regressed", "inconclusive", "not judged", "failed", "error", "skipped"]
DIED = "???"  # plugins report this phase for a test whose process died
FACTS = (
    "verdicts", "comparisons", "compared", "same", "many", "explorations", "noise", "case",
    "target", "tuned",
)  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "passed", "regressed", "inconclusive", "not judged", "failed", "error", "skipped",
)  # fmt: skip


def add_report(rows: dict[str, dict[str, Any]], report: pytest.TestReport) -> None:
    """Add one phase of a test to its row, or the death of the test's process (without facts)."""
    facts = getattr(report, "llmdiff", {})
    if isinstance(facts, str):  # from another process
        facts = json.loads(facts)
    row = rows.get(test := report.nodeid)
    if row is None:
        file, line, _ = report.location
        row = rows[test] = {
            "test": test, "phases": {}, "message": None, "skipped": None, "verdicts": [],
            "comparisons": [], "compared": 0, "same": 0, "many": {}, "explorations": [],
            "noise": {}, "case": "",
            "asserted": True, "target": shlex.quote(test), "tuned": None,
            "file": file.replace(os.sep, "/"),
            "line": None if line is None else line + 1,
        }  # fmt: skip
    # A try begins anew, unless the process died: no later try makes up for that.
    if report.when == "setup" and DIED not in row["phases"]:
        row["phases"], row["message"], row["skipped"] = {}, None, None
    # pytest-rerunfailures reports a failure that it tries again as "rerun".
    outcome = "failed" if report.outcome not in ("passed", "skipped") else report.outcome
    # Reports of subtests come first; pytest fails their test only afterwards.
    if row["phases"].get(report.when) != "failed":
        row["phases"][report.when] = "xfailed" if hasattr(report, "wasxfail") else outcome
    if outcome == "failed" and row["message"] is None:
        crash = getattr(report.longrepr, "reprcrash", None)
        shown = crash.message if crash is not None else report.longrepr
        row["message"] = str(facts.get("message", shown))
        row["asserted"] = facts.get("asserted", True)
        # The failing line of the test, if known, is a better link than its first line.
        if crash is not None and Path(crash.path).as_posix().endswith("/" + row["file"]):
            row["line"] = crash.lineno
    if outcome == "skipped" and isinstance(report.longrepr, tuple):
        row["skipped"] = str(report.longrepr[2]).removeprefix("Skipped: ")
    elif hasattr(report, "wasxfail"):
        row["skipped"] = f"expected to fail: {report.wasxfail}"
    if "case" in facts:  # only the last phase has them
        row |= {name: facts[name] for name in FACTS if name in facts}


def end_unfinished(rows: Mapping[str, dict[str, Any]]) -> None:
    """Say in the rows of tests that the end of the run cut off that this is what happened."""
    for row in rows.values():
        if row["message"] is None and not {"teardown", DIED} & row["phases"].keys():
            row["message"] = "the run ended while this test ran"


def kind_of(row: Mapping[str, Any]) -> Kind:
    """A test's outcome, as what it says about the tuned model."""
    call, ended = row["phases"].get("call"), row["phases"].values()
    outcomes = {verdict["outcome"] for verdict in row["verdicts"]}
    if call == "failed":
        return _kind_of_failure(row, outcomes)
    if "failed" in ended:
        return "error"
    # Whatever `llmdiff_inconclusive` says, it is not a pass.
    if call in ("passed", "xfailed") and "inconclusive" in outcomes:
        return "inconclusive"
    # A ready-made suite skips what its scorer cannot judge. The reports still call it not judged.
    if call == "skipped" and outcomes == {"not judged"}:
        return "not judged"
    if "skipped" in ended or "xfailed" in ended:
        return "skipped"
    return "passed" if call == "passed" else "error"


def _kind_of_failure(row: Mapping[str, Any], outcomes: set[str]) -> Kind:
    """The same for a test whose body failed, whatever its teardown did."""
    if "regressed" in outcomes:
        return "regressed"
    if "inconclusive" in outcomes and "not judged" not in outcomes:
        return "inconclusive"
    if "not judged" in outcomes:
        return "not judged"
    # Whatever is no assertion (a name that is missing, a scorer's error), and an assertion without
    # a limit, says nothing about the tuned model.
    return "failed" if row["asserted"] and "no limit" not in outcomes else "error"


def counts(rows: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """The number of tests by outcome."""
    numbers: dict[str, int] = dict.fromkeys(KINDS, 0)
    for row in rows.values():
        numbers[kind_of(row)] += 1
    return numbers


def unmeasured(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """By measure, the number of tests that ended before they came to it, or could not judge it.

    What a test would have measured is known from the others of its function.
    """
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cases.setdefault(row["case"], []).append(row)
    missing: Counter[str] = Counter()
    for held in cases.values():
        have = [
            {v["name"] for v in row["verdicts"] if v["outcome"] != "not judged"} for row in held
        ]
        for name in set().union(*have):
            missing[name] += sum(
                name not in names and kind_of(row) not in ("passed", "skipped")
                for row, names in zip(held, have, strict=True)
            )
    return dict(missing)
