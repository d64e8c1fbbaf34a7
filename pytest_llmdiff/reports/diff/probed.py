"""The value of each probe in a report, for differences that are paired by probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdiff.reports.diff.reading import number_of, text_of, verdicts_of

Place = tuple[str, str | None]  # a test, and a probe of it
Key = tuple[str, str | None, int]  # and which of the probe's repeats


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The values of a report by column and probe, None where one could not be judged, and the
    question of each probe: forms of a question are one value."""

    values: dict[tuple[str, str, str | None], dict[Key, float | None]] = field(default_factory=dict)
    questions: dict[Key, str] = field(default_factory=dict)


def probed_of(tests: Mapping[str, Mapping[str, Any]]) -> Probed:
    found = Probed()
    for name, test in tests.items():
        clusters = {
            compared["probe"]: compared.get("cluster") or compared["digest"]
            for compared in test["comparisons"]
        }
        for (measure, probe, bound), verdict in verdicts_of(test):
            if measure in test.get("many", {}):
                continue  # the report has the worst ones alone
            column = measure, name.partition("[")[0], bound
            for key, value in _values(name, probe, verdict):
                found.values.setdefault(column, {})[key] = value
                found.questions[key] = text_of(clusters.get(key[1], f"{name} {key[1]}"))
    return found


def _values(
    test: str, probe: str | None, verdict: Mapping[str, Any]
) -> Iterator[tuple[Key, float | None]]:
    """Of a set its members: of a rate, whether each counts. A rate that a judge's labels corrected
    is no mean of them."""
    held = verdict["set"]
    if not held:
        yield (test, probe, 0), number_of(verdict["value"])
        return
    if "over" not in held or isinstance(verdict.get("details", {}).get("judge"), Mapping):
        return
    over, times = number_of(held["over"]), Counter[str]()
    for member, given in held["members"]:
        times[text_of(member)] += 1
        value = number_of(given)
        if value is not None and over is not None:
            value = float(value > over)
        yield (test, member, times[member]), value
