"""JSON reports as earlier runs left them, with as much as comparing them needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def verdict(value: float | None, *, limit: float | None = 0.3, **fields: Any) -> dict[str, Any]:
    return {
        "name": "drift", "value": value, "limit": limit, "bound": "at_most", "unit": "",
        "set": None, "probe": "p", "outcome": "passed",
    } | fields  # fmt: skip


def set_verdict(
    value: float, low: float, high: float, worst: Mapping[str, float] | None = None, **fields: Any
) -> dict[str, Any]:
    members = [{"probe": probe, "value": each} for probe, each in (worst or {}).items()]
    estimate = {"scope": "", "low": low, "high": high, "worst": members}
    return verdict(value, probe=None, set=estimate, **fields)


def comparison(probe: str, tuned: str, *, base: str = "yes") -> dict[str, Any]:
    return {
        "probe": probe, "digest": f"of {probe}", "prompt": f"What is {probe}?",
        "sides": ["base", "tuned"], "base": {"text": base}, "tuned": {"text": tuned},
    }  # fmt: skip


def report(
    tests: Mapping[str, str],
    *,
    verdicts: Mapping[str, list[dict[str, Any]]] | None = None,
    replies: Mapping[str, list[dict[str, Any]]] | None = None,
    tuned: str = "t",
    **values: float | None,
) -> dict[str, Any]:
    """A report with these outcomes by test; `values` are drifts under a limit of 0.3."""
    own = {test: [verdict(value)] for test, value in values.items()} | dict(verdicts or {})
    return {
        "schema": "pytest-llmdiff/1", "version": "1", "base": "b", "tuned": tuned, "resolved": {},
        "settings": {n: {"value": v, "source": "ini"} for n, v in (("json", "x"), ("seed", 0))},
        "tests": [
            {
                "test": test, "outcome": outcome, "comparisons": (replies or {}).get(test, []),
                "verdicts": own.get(test, []),
            }
            for test, outcome in tests.items()
        ],
    }  # fmt: skip


def written(folder: Path, **reports: Mapping[str, Any]) -> list[str]:
    """The reports as files of their names in a folder."""
    for name, held in reports.items():
        (folder / f"{name}.json").write_text(json.dumps(held), encoding="utf-8")
    return [str(folder / f"{name}.json") for name in reports]
