"""The JSON report; docs/json-report.md describes every key."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import OPTIONS
from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.data.files.whole_files import write_whole
from pytest_llmdiff.data.plain_json import plain
from pytest_llmdiff.errors import hidden
from pytest_llmdiff.reports.answer import answer_of
from pytest_llmdiff.reports.diff.models import models_ranking
from pytest_llmdiff.reports.diff.reading import SCHEMA
from pytest_llmdiff.reports.outcomes import counts, kind_of
from pytest_llmdiff.reports.run_facts import RunFacts, rerun_of

OTHER = re.compile(r"[^\x20-\x7e\n]")


def report(facts: RunFacts) -> dict[str, Any]:
    settings = facts.settings
    return {
        "schema": SCHEMA,
        "version": installed_version("pytest-llmdiff"),
        "base": settings.base,
        "tuned": settings.tuned_text or None,
        "resolved": dict(facts.resolved),
        "settings": {
            option.name: {
                "value": plain(getattr(settings, option.name)),
                "source": settings.sources[option.name],
            }
            for option in OPTIONS
        },
        "notes": list(facts.notes),
        "warnings": list(facts.warnings),
        "exit_code": facts.exit_code,
        "answer": None if (answer := answer_of(facts)) is None else answer.row(),
        "summary": {name.replace(" ", "_"): count for name, count in counts(facts.rows).items()},
        "ranking": None if (ranking := models_ranking(facts)) is None else asdict(ranking),
        "tests": [
            {
                "test": row["test"],
                "file": row["file"],
                "line": row["line"],
                "outcome": kind_of(row).replace(" ", "_"),
                "tuned": row["tuned"],
                "message": row["message"],
                "rerun": rerun_of(row, facts),
                "compared": row["compared"],
                "comparisons": row["comparisons"],
                "many": row["many"],
                "explorations": row["explorations"],
                "verdicts": [
                    {**verdict, "outcome": verdict["outcome"].replace(" ", "_")}
                    for verdict in row["verdicts"]
                ],
            }
            for row in facts.rows.values()
        ],
    }


def write_json(facts: RunFacts, path: Path) -> None:
    write_whole(path, json_text(report(facts)))


def json_text(value: Any) -> str:
    """Strict JSON, with nothing in it that would steer a terminal."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False)
    return OTHER.sub(_escaped, text) + "\n"


def _escaped(match: re.Match[str]) -> str:
    """Escapes characters that would steer a terminal, or that UTF-8 cannot encode. Chinese stays
    readable and searchable."""
    character = match[0]
    if not hidden(character):
        return character
    # json.dumps would not escape U+007F, but handles characters that need two escapes.
    return f"\\u{ord(character):04x}" if character <= "\uffff" else json.dumps(character)[1:-1]
