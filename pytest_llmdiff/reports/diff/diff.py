"""What changed between two runs, from their JSON reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import PLACES
from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.reports.order import on_scale

SCHEMA = "pytest-llmdiff/1"
# From best to worst. A skipped test is unknown, which is worse than passed.
SEVERITY = {
    "passed": 0, "skipped": 1, "not_judged": 2, "inconclusive": 2,
    "failed": 3, "error": 3, "regressed": 3,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A test's outcome in both runs; None if a run does not have the test."""

    test: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A measure of one test whose value or limit changed."""

    test: str
    name: str
    unit: str
    before: float | None
    after: float | None
    limit_before: float | None
    limit_after: float | None
    bound: str | None

    @property
    def distance(self) -> float:
        """How far it moved, on the measure's own scale. Infinite if a value is not a number."""
        if self.before is None or self.after is None:
            return float("inf")
        return on_scale(abs(self.after - self.before), self.unit)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All that changed from one run to the next.

    `worse` are tests with a worse outcome, and new ones that do not pass. `fixed` tests pass now
    and did not before; `other` ones changed in another way; `new` ones pass. `gone` tests are
    missing from the second run. `replies` counts, for each side, the prompts of both runs whose
    reply changed, and all of them.
    """

    tests: tuple[int, int]
    worse: tuple[Changed, ...]
    fixed: tuple[Changed, ...]
    other: tuple[Changed, ...]
    new: tuple[Changed, ...]
    gone: tuple[Changed, ...]
    moved: tuple[Moved, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    replies: Mapping[str, tuple[int, int]]

    @property
    def got_worse(self) -> bool:
        return bool(self.worse or self.gone)


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report from its file.

    Raises:
        ConfigError: the file is missing, or is not a report of this schema.
    """
    try:
        refuse_device(path)
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a JSON file: {error}") from error
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path} is not a report of schema {SCHEMA!r} (it has {schema!r}); pytest … "
            "--llmdiff-json=FILE writes one"
        )
    return dict(report)


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """What changed from the first report to the second.

    Raises:
        ConfigError: one of them is damaged.
    """
    try:
        return _changes(before, after)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"one of the reports is damaged: {type(error).__name__}: {error}"
        ) from error


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    old, new = _tests(before), _tests(after)
    both = [
        Changed(test=test, before=old[test]["outcome"], after=new[test]["outcome"])
        for test in new
        if test in old
    ]
    added = [Changed(test=t, before=None, after=new[t]["outcome"]) for t in new if t not in old]
    changed = [test for test in both if test.before != test.after]
    worse = [test for test in changed if _severity(test.after) > _severity(test.before)]
    fixed = [test for test in changed if test.after == "passed"]
    return Changes(
        tests=(len(old), len(new)),
        worse=(*worse, *(test for test in added if test.after != "passed")),
        fixed=tuple(fixed),
        other=tuple(test for test in changed if test not in worse and test not in fixed),
        new=tuple(test for test in added if test.after == "passed"),
        gone=tuple(
            Changed(test=t, before=old[t]["outcome"], after=None) for t in old if t not in new
        ),
        moved=tuple(
            sorted(
                (m for f in both for m in _moved(f.test, old[f.test], new[f.test])),
                key=lambda moved: -moved.distance,
            )
        ),
        settings=tuple(_settings(before, after)),
        replies={side: _replies(side, old, new) for side in ("base", "tuned")},
    )


def _tests(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tests: dict[str, Mapping[str, Any]] = {}
    for test in report["tests"]:
        if not isinstance(test["test"], str) or test["test"] in tests:
            raise ValueError(f"the test {test['test']!r} is not a name, or appears twice")
        tests[test["test"]] = test
    return tests


def _severity(outcome: str | None) -> int:
    if outcome not in SEVERITY:
        raise ValueError(f"unknown outcome {outcome!r}")
    return SEVERITY[outcome]


def _moved(test: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Moved]:
    old, new = _values(before), _values(after)
    for key in new:
        if key not in old:
            continue
        was, now = old[key], new[key]
        if (was["value"], was["limit"]) == (now["value"], now["limit"]):
            continue
        yield Moved(
            test=test,
            name=_text(key[0]),
            unit=_text(now["unit"]),
            before=_number(was["value"]),
            after=_number(now["value"]),
            limit_before=_number(was["limit"]),
            limit_after=_number(now["limit"]),
            bound=now["bound"],
        )


def _number(value: Any) -> float | None:
    if value is None or type(value) in (int, float):
        return None if value is None else float(value)
    raise ValueError(f"{value!r:.80} is not a number")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is not a text")
    return value


def _values(test: Mapping[str, Any]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Verdicts by measure, probe, side of the limit, and scope of the set."""
    return {
        (v["name"], v["probe"], v["bound"], v["set"] and v["set"]["scope"]): v
        for v in test["verdicts"]
    }


def _settings(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    old, new = _conditions(before), _conditions(after)
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _conditions(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: report[name] for name in ("version", "base", "tuned")},
        **{name: held["value"] for name, held in report["settings"].items() if name not in PLACES},
        # `auto` on both sides may have been resolved differently.
        **{f"resolved {name}": value for name, value in report["resolved"].items()},
    }


def _replies(side: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[int, int]:
    was, now = (_texts(side, tests) for tests in (old, new))
    shared = [probe for probe in now if probe in was]
    return sum(was[probe] != now[probe] for probe in shared), len(shared)


def _texts(side: str, tests: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    return {
        (comparison["digest"], *comparison["sides"]): comparison[side]["text"]
        for test in tests.values()
        for comparison in test["comparisons"]
    }
