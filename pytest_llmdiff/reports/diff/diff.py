"""What is other between two runs, from their JSON reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.options import PLACES
from pytest_llmdiff.errors import ConfigError

SCHEMA = "pytest-llmdiff/1"
# From best to worst. What was skipped is not known, and so is no pass.
SEVERITY = {
    "passed": 0, "skipped": 1, "not_judged": 2, "inconclusive": 2,
    "failed": 3, "error": 3, "regressed": 3,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A test's outcome in both runs; None where a run has no such test."""

    test: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A measure of one test with another value or limit than before."""

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
        """How far it moved, in limits. Infinite where a value is no number."""
        if self.before is None or self.after is None:
            return float("inf")
        limit = self.limit_after if self.limit_after is not None else self.limit_before
        return abs(self.after - self.before) / max(abs(limit or 0.0), 0.05)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All that is other in the run `after`.

    `worse` are tests that came out worse, or are new and do not pass; `mended` pass now and did
    not; `other` changed otherwise. What is `gone` is not known any more. `replies` counts, for
    each side, the prompts of both runs that have another reply now, and all of them.
    """

    tests: tuple[int, int]
    worse: tuple[Changed, ...]
    mended: tuple[Changed, ...]
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
        ConfigError: there is no such file, or it is no report of this form.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no JSON file: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path} is no report of schema {SCHEMA!r} (it has {schema!r}); pytest … "
            "--llmdiff-json=FILE writes one"
        )
    return dict(found)


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """What is other in the second of two reports.

    Raises:
        ConfigError: one of them is damaged.
    """
    try:
        return _changes(before, after)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
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
    changed = [found for found in both if found.before != found.after]
    worse = [found for found in changed if _severity(found.after) > _severity(found.before)]
    mended = [found for found in changed if found.after == "passed"]
    return Changes(
        tests=(len(old), len(new)),
        worse=(*worse, *(found for found in added if found.after != "passed")),
        mended=tuple(mended),
        other=tuple(found for found in changed if found not in worse and found not in mended),
        new=tuple(found for found in added if found.after == "passed"),
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
    found: dict[str, Mapping[str, Any]] = {}
    for test in report["tests"]:
        if not isinstance(test["test"], str) or test["test"] in found:
            raise ValueError(f"the test {test['test']!r} is no name, or is there twice")
        found[test["test"]] = test
    return found


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
            name=key[0],
            unit=now["unit"],
            before=was["value"],
            after=now["value"],
            limit_before=was["limit"],
            limit_after=now["limit"],
            bound=now["bound"],
        )


def _values(test: Mapping[str, Any]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Verdicts by what they are of: a measure, a probe, a side of the limit, a part of a set."""
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
        # As resolved last: `auto` on both sides may have come out differently.
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
