"""JSON reports of earlier runs, checked as far as comparing them needs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.verdicts.verdict import label

SCHEMA = "pytest-llmdiff/1"
# From best to worst. A skipped test is unknown, which is worse than passed.
SEVERITY = {
    "passed": 0, "skipped": 1, "not_judged": 2, "inconclusive": 2,
    "failed": 3, "error": 3, "regressed": 3,
}  # fmt: skip
T = TypeVar("T")


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report from its file.

    Raises:
        ConfigError: the file is missing, or is not a report of this schema.
    """
    try:
        refuse_device(path)
        report = bounded_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a JSON file: {error}") from error
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path} is not a report of schema {SCHEMA!r} (it has {schema!r}); pytest … "
            "--llmdiff-json=FILE writes one"
        )
    return dict(report)


def checked(work: Callable[[], T]) -> T:
    """The result of reading reports.

    Raises:
        ConfigError: one of them is damaged.
    """
    try:
        return work()
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        raise ConfigError(
            f"one of the reports is damaged: {type(error).__name__}: {error}"
        ) from error


def tests_of(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tests of a report by their node ids."""
    tests: dict[str, Mapping[str, Any]] = {}
    for test in report["tests"]:
        if not isinstance(test["test"], str) or test["test"] in tests:
            raise ValueError(f"the test {test['test']!r} is not a name, or appears twice")
        severity(test["outcome"])
        tests[test["test"]] = test
    return tests


def severity(outcome: str | None) -> int:
    if outcome not in SEVERITY:
        raise ValueError(f"unknown outcome {outcome!r}")
    return SEVERITY[outcome]


Key = tuple[str, str | None, str | None]


def verdicts_of(test: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Verdicts, each with its measure (and the scope of its set), probe and side of the limit."""
    for verdict in test["verdicts"]:
        for name in ("value", "limit"):
            number_of(verdict[name])
        for name in ("name", "unit"):
            text_of(verdict[name])
        scope = text_of(verdict["set"]["scope"]) if verdict["set"] else ""
        yield (label(verdict["name"], scope), verdict["probe"], verdict["bound"]), verdict


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def number_of(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a number")
    return value
