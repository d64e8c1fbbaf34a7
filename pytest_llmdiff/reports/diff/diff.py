"""What changed between two runs, from their JSON reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.config.options import PLACES
from pytest_llmdiff.reports.diff.reading import checked, severity, tests_of, verdicts_of
from pytest_llmdiff.reports.diff.replies import ReplyChange, changed_replies
from pytest_llmdiff.reports.diff.shifts import Shift


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
    shift: Shift


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All that changed from one run to the next.

    `worse` are tests with a worse outcome, and new ones that do not pass. `fixed` tests pass now
    and did not before; `other` ones changed in another way; `new` ones pass. `gone` tests are
    missing from the second run. `moved` has the measures that got worse most first. `counted` has,
    for each side, the number of prompts of both runs whose reply changed, and of all of them;
    `replies` are those of the tuned model that changed, the worst first.
    """

    tests: tuple[int, int]
    worse: tuple[Changed, ...]
    fixed: tuple[Changed, ...]
    other: tuple[Changed, ...]
    new: tuple[Changed, ...]
    gone: tuple[Changed, ...]
    moved: tuple[Moved, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    counted: Mapping[str, tuple[int, int]]
    replies: tuple[ReplyChange, ...]

    @property
    def got_worse(self) -> bool:
        return bool(self.worse or self.gone)


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """What changed from the first report to the second.

    Raises:
        ConfigError: one of them is damaged.
    """
    return checked(lambda: _changes(before, after))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    old, new = tests_of(before), tests_of(after)
    both = [
        Changed(test=test, before=old[test]["outcome"], after=new[test]["outcome"])
        for test in new
        if test in old
    ]
    added = [Changed(test=t, before=None, after=new[t]["outcome"]) for t in new if t not in old]
    changed = [test for test in both if test.before != test.after]
    worse = [test for test in changed if severity(test.after) > severity(test.before)]
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
                key=lambda moved: -moved.shift.worsening,
            )
        ),
        settings=tuple(_settings(before, after)),
        counted={side: _counted(side, old, new) for side in ("base", "tuned")},
        replies=tuple(changed_replies(old, new)),
    )


def _moved(test: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Moved]:
    old = dict(verdicts_of(before))
    for key, now in verdicts_of(after):
        was = old.get(key)
        if was is None or (was["value"], was["limit"]) == (now["value"], now["limit"]):
            continue
        yield Moved(test=test, shift=Shift.between(key[0], was, now))


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


def _counted(side: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[int, int]:
    was, now = (_texts(side, tests) for tests in (old, new))
    shared = [probe for probe in now if probe in was]
    return sum(was[probe] != now[probe] for probe in shared), len(shared)


def _texts(side: str, tests: Mapping[str, Any]) -> dict[tuple[str, ...], str]:
    return {
        (comparison["digest"], *comparison["sides"]): comparison[side]["text"]
        for test in tests.values()
        for comparison in test["comparisons"]
    }
