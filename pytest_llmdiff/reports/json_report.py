"""The JSON report; docs/json-report.md describes every key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.loading import installed_version
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.rows import plain

if TYPE_CHECKING:
    from pytest_llmdiff.session import Session

SCHEMA = "pytest-llmdiff/1"


def report(session: Session) -> dict[str, Any]:
    settings = session.settings
    found = counts(session.rows)
    return {
        "schema": SCHEMA,
        "version": installed_version("pytest-llmdiff"),
        "base": settings.base,
        "tuned": settings.tuned,
        "resolved": session.resolved(),
        "settings": {
            name: {"value": plain(getattr(settings, name)), "source": source}
            for name, source in settings.sources.items()
        },
        "notes": list(session.notes()),
        "warnings": list(session.warnings()),
        "summary": {name.replace(" ", "_"): count for name, count in found.items()},
        "tests": [
            {
                "test": row["test"],
                "outcome": kind_of(row).replace(" ", "_"),
                "message": row["message"],
                "comparisons": row["comparisons"],
                "verdicts": [
                    {**verdict, "outcome": verdict["outcome"].replace(" ", "_")}
                    for verdict in row["verdicts"]
                ],
            }
            for row in session.rows.values()
        ],
    }


def write_json(session: Session) -> None:
    path = session.settings.json
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plain(report(session)), ensure_ascii=True, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
