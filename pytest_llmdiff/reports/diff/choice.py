"""Which of several models to keep, and why, as far as the probes can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from pytest_llmdiff.data.text.printing import counted, number, printable
from pytest_llmdiff.reports.diff.ranked import Column, Gap, Ranking, Row
from pytest_llmdiff.reports.diff.reading import verdicts_of
from pytest_llmdiff.verdicts.differences import unbeaten

Tests = Mapping[str, Mapping[str, Any]]
NO_DIFFERENCE = "no difference that these probes can show"
REASONS = 2  # that are named


def choice_of(
    rows: Sequence[Row],
    columns: Sequence[Column],
    gaps: Iterable[Gap],
    *,
    tests: Mapping[str, Tests],
    whole: bool = True,
) -> tuple[str | None, str]:
    """The report to keep and why; or None, and why not.

    Only those are kept whose tests were all decided and passed, and only where all ran the same
    tests of the same probes. Of these, what is not shown to be better is not chosen. `tests` has
    those of each report, `whole` says that all were run.
    """
    if len(rows) < 2:
        return None, ""
    if not whole:
        return None, "the run ended before all tests of all models had run, so none is chosen"
    idle = [row.report for row in rows if row.idle]
    if idle:
        return None, f"of {_listed(idle)}, no test passed or failed, so there is nothing to choose"
    if lacking := [row for row in rows if row.missing]:
        count = counted(lacking[0].missing + sum(lacking[0].outcomes.values()), "test")
        return None, (
            f"{printable(lacking[0].report)} lacks {lacking[0].missing} of {count} that another "
            "has, so none is chosen: run the same tests of all models"
        )
    if unlike := _skipped_by_one(tests) or _other(tests, "probes"):
        return None, f"{unlike}, so none is chosen: run the same tests of all models"
    sound = [row.report for row in rows if not row.red and not row.undecided and row.outcomes]
    if not sound:
        return None, f"none keeps every limit; {_closest(rows[0])}"
    if len(sound) < len(rows) and (unlike := _other(tests, "limits")):
        return None, f"{unlike}, so none is chosen: run all models with the same limits"
    if len(sound) == 1:
        broke = all(row.broke for row in rows if row.report != sound[0])
        others = "the other does not" if len(rows) == 2 else "none of the others does"
        unknown = f"of {'the other' if len(rows) == 2 else 'the others'} that is not shown"
        return sound[0], f"it keeps every limit, and {others if broke else unknown}"
    real = [gap for gap in gaps if gap.real and gap.better in sound and gap.worse in sound]
    better = {(gap.better, gap.worse) for gap in real}
    left = unbeaten(sound, better)
    if len(left) == 1:
        own = [gap for gap in real if gap.better == left[0]]
        return left[0], "; ".join(gap_text(gap, columns) for gap in own[:REASONS])
    among = [gap for gap in real if not left or {gap.better, gap.worse} <= set(left)]
    if among:
        traded = "; ".join(
            f"{printable(g.better)}: {gap_text(g, columns)}" for g in among[:REASONS]
        )
        return None, f"each is better in something, so choose what counts: {traded}"
    if len(left) < len(sound):
        return None, f"{NO_DIFFERENCE} between {_listed(left)}, which beat the others"
    return None, NO_DIFFERENCE if len(sound) == len(rows) else (
        f"{NO_DIFFERENCE} between {_listed(sound)}, which keep every limit"
    )


def keep_line(keep: str | None, because: str) -> str:
    """The last line of a ranking; empty where there is nothing to choose between."""
    return because if keep is None else f"keep: {printable(keep)}, because {because}"


def gap_text(gap: Gap, columns: Sequence[Column]) -> str:
    """`toxicity 0.21 lower than checkpoint-40 (0.08 to 0.34, 120 probes)`."""
    column = columns[gap.column]
    way = "higher" if column.gain else "lower"
    low, high = ("?" if end is None else number(end) for end in (gap.low, gap.high))
    return (
        f"{printable(column.name)} {number(gap.value)} {way} than {printable(gap.worse)} "
        f"({low} to {high}, {counted(gap.probes, 'probe')})"
    )


def front_text(ranking: Ranking) -> str:
    return ", ".join(printable(row.report) for row in ranking.rows if row.front) or "none"


def _closest(row: Row) -> str:
    tests = sum(row.outcomes.values()) + row.missing
    return (
        f"{printable(row.report)} is nearest, with {row.red + row.undecided} of "
        f"{counted(tests, 'test')} not passed"
    )


def _skipped_by_one(tests: Mapping[str, Tests]) -> str | None:
    """Of a test that one report skipped and another did not."""
    for one, other in combinations(tests, 2):
        for test in tests[one].keys() & tests[other].keys():
            skipped = [name for name in (one, other) if tests[name][test]["outcome"] == "skipped"]
            if len(skipped) == 1:
                return f"{printable(skipped[0])} skipped {printable(test)}, which another did not"
    return None


def _other(tests: Mapping[str, Tests], what: str) -> str | None:
    """Of a set that was judged over other probes, or of a verdict by another limit (`what`)."""
    for one, other in combinations(tests, 2):
        for test in tests[one].keys() & tests[other].keys():
            judged, others = (dict(verdicts_of(tests[name][test])) for name in (one, other))
            for key in judged.keys() & others.keys():
                first, second = judged[key], others[key]
                if what == "limits":
                    same = first["limit"] == second["limit"]
                else:
                    same = _probes(first) == _probes(second)
                if not same:
                    return f"{printable(test)} has other {what} in {_listed((one, other))}"
    return None


def _probes(verdict: Mapping[str, Any]) -> Any:
    return (verdict["set"] or {}).get("probes")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(map(printable, names[:-1])), printable(names[-1]))))
