"""The JSON report; docs/json-report.md describes every key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_llmdiff.loading import installed_version
from pytest_llmdiff.reports.facts import Facts
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.rows import plain

SCHEMA = "pytest-llmdiff/1"


def report(facts: Facts) -> dict[str, Any]:
    settings = facts.settings
    found = counts(facts.rows)
    return {
        "schema": SCHEMA,
        "version": installed_version("pytest-llmdiff"),
        "base": settings.base,
        "tuned": settings.tuned,
        "resolved": dict(facts.resolved),
        "settings": {
            name: {"value": plain(getattr(settings, name)), "source": source}
            for name, source in settings.sources.items()
        },
        "notes": list(facts.notes),
        "warnings": list(facts.warnings),
        "summary": {name.replace(" ", "_"): count for name, count in found.items()},
        "tests": [
            {
                "test": row["test"],
                "outcome": kind_of(row).replace(" ", "_"),
                "message": row["message"],
                "compared": row["compared"],
                "comparisons": row["comparisons"],
                "many": row["many"],
                "verdicts": [
                    {**verdict, "outcome": verdict["outcome"].replace(" ", "_")}
                    for verdict in row["verdicts"]
                ],
            }
            for row in facts.rows.values()
        ],
    }


def write_json(facts: Facts, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(report(facts)), ensure_ascii=True, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
