"""Why the run ended as it did: its causes with the values behind them, and the worst replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.reports.answer import Answer, Cause
from pytest_llmdiff.reports.html.charts import Distribution, intervals
from pytest_llmdiff.reports.html.entries import link_of
from pytest_llmdiff.reports.order import OPEN

PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class Why:
    """A cause with its number, and the values and the limit behind it, if it has some."""

    number: int
    cause: Cause
    plot: Distribution | None
    interval: Mapping[str, Any] | None


def whys(
    answer: Answer, rows: Iterable[Mapping[str, Any]], plots: Iterable[Distribution]
) -> list[Why]:
    """The causes of an answer. Of a broken limit, the first test decides what is drawn: the
    interval of its set, or the measure's values over all probes."""
    by_name = {plot.name: plot for plot in plots}
    by_test = {row["test"]: row for row in rows}
    found = []
    for number, cause in enumerate(answer.causes, 1):
        interval = _interval(cause, by_test[cause.of[0]]) if cause.measure else None
        plot = by_name.get(cause.measure) if interval is None else None
        found.append(Why(number=number, cause=cause, plot=plot, interval=interval))
    return found


def _interval(cause: Cause, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    sets = (v for v in row["verdicts"] if v["name"] == cause.measure and v["set"])
    verdict = next(sets, None)
    return None if verdict is None else intervals([(row["test"], link_of(row["test"]), verdict)])[0]


def causes_by_test(answer: Answer) -> dict[str, list[int]]:
    """The numbers of the causes that each test is one of."""
    found: dict[str, list[int]] = {}
    for number, cause in enumerate(answer.causes, 1):
        for test in cause.of:
            found.setdefault(test, []).append(number)
    return found


def also(answer: Answer) -> list[str]:
    """What to do besides the remedies of the causes."""
    told = {cause.remedy for cause in answer.causes}
    return [hint for hint in answer.next if hint not in told]


def worst_pairs(tests: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """From the tests in order, the first pairs of replies that differ: each prompt and each pair
    once, and of passed tests only if all of them passed."""
    held = list(tests)
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for test in [test for test in held if test["kind"] in OPEN] or held:
        for probe in test.get("probes", ())[:1]:
            marks = {probe["prompt"], "".join(probe.get("reply", ()))}
            if _differs(probe) and not marks & seen:
                seen |= marks
                found.append({"test": test, "probe": probe, "verdicts": list(_of(test, probe))})
        if len(found) == PAIRS:
            break
    return found


def _differs(probe: Mapping[str, Any]) -> bool:
    return any(piece[0] != "=" for piece in probe.get("reply", ()))


def _of(test: Mapping[str, Any], probe: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The verdicts on a probe that are no pass, or else the one that decides its test."""
    verdicts: Sequence[Mapping[str, Any]] = test.get("verdicts", ())
    own = [v for v in verdicts if v.get("probe") == probe["probe"] and v["outcome"] != "passed"]
    main = test.get("main")
    yield from own or ([] if main is None else [verdicts[main]])
