"""The JSON report against its schema."""

from __future__ import annotations

import json
from importlib.resources import files

from jsonschema import Draft202012Validator

WRITTEN = json.loads(
    files("pytest_llmdiff").joinpath("reports/report.schema.json").read_text(encoding="utf-8")
)


def faults(report: object) -> list[str]:
    found = Draft202012Validator(WRITTEN).iter_errors(report)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]
