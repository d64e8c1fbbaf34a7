"""Changes between runs, and rankings of runs, as JSON: `compare.schema.json` describes both."""

from __future__ import annotations

from dataclasses import asdict

from pytest_llmdiff.reports.diff.diff import Changes
from pytest_llmdiff.reports.diff.ranked import Ranking
from pytest_llmdiff.reports.files.json_report import json_text

SCHEMA = "pytest-llmdiff-compare/1"


def changes_json(changes: Changes) -> str:
    settings = [{"name": n, "before": was, "after": now} for n, was, now in changes.settings]
    before, after = changes.tests
    return json_text(
        {
            "schema": SCHEMA,
            "kind": "changes",
            **asdict(changes),
            "got_worse": changes.got_worse,
            "tests": {"before": before, "after": after},
            "settings": settings,
            "counted": {
                side: {"changed": changed, "of": count}
                for side, (changed, count) in changes.counted.items()
            },
        }
    )


def ranking_json(ranking: Ranking) -> str:
    return json_text({"schema": SCHEMA, "kind": "ranking", **asdict(ranking)})
