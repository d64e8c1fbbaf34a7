"""Several runs of the same tests, ranked: a row for each report, a column for each measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pytest_llmdiff.reports.diff.reading import (
    SEVERITY,
    checked,
    number_of,
    severity,
    tests_of,
    text_of,
    verdicts_of,
)
from pytest_llmdiff.reports.order import on_scale


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measure of a test; `bound` is the side of its limit that values have to be on."""

    name: str
    test: str
    unit: str
    bound: str | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A measure in one report.

    `value` is that of the only verdict, or the mean over the `of` verdicts that have a number in
    all reports; None where there is none. `low` and `high` are the ends of the only verdict's 90 %
    interval. `limit` is that of all verdicts, None if they differ. Of `verdicts`, `regressed` broke
    it.
    """

    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    of: int
    verdicts: int
    regressed: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A report. `place` counts from 1; reports that nothing tells apart share one. `outcomes` has
    the number of tests by outcome; `missing` are tests that another report has. `cells` are in the
    order of the columns, None where the report has no such verdict."""

    place: int
    report: str
    base: str
    tuned: str
    decision: str | None
    outcomes: Mapping[str, int]
    missing: int
    cells: tuple[Cell | None, ...]

    @property
    def red(self) -> int:
        """Tests that regressed or failed."""
        return sum(n for outcome, n in self.outcomes.items() if severity(outcome) == 3)

    @property
    def unknown(self) -> int:
        """Tests that decided nothing, or are missing."""
        return self.missing + sum(
            n for outcome, n in self.outcomes.items() if 0 < severity(outcome) < 3
        )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The reports, the best first; `shared` is the number of tests that all of them have."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shared: int


def ranking_of(reports: Mapping[str, Mapping[str, Any]]) -> Ranking:
    """Ranks reports, by name: fewest tests that regressed or failed, then fewest that are unknown,
    then the lowest values, each on its measure's own scale (`on_scale`).

    Raises:
        ConfigError: one of the reports is damaged.
    """
    return checked(lambda: _ranking(reports))


Rows = dict[tuple[str, str | None], Mapping[str, Any]]  # verdicts of a column by test and probe


def _ranking(reports: Mapping[str, Mapping[str, Any]]) -> Ranking:
    tests = {name: tests_of(report) for name, report in reports.items()}
    held = {name: _by_column(own) for name, own in tests.items()}
    columns = tuple(dict.fromkeys(column for own in held.values() for column in own))
    cells: dict[str, tuple[Cell | None, ...]] = dict.fromkeys(reports, ())
    for column in columns:
        shared = _shared([own.get(column, {}) for own in held.values()])
        for name, own in held.items():
            cell = _cell(own[column], shared) if column in own else None
            cells[name] = (*cells[name], cell)
    every = set().union(*tests.values())
    rows = [
        Row(
            place=0,
            report=name,
            base=text_of(report["base"]),
            tuned=text_of(report["tuned"]),
            decision=_decision(report),
            outcomes=_outcomes(tests[name]),
            missing=len(every) - len(tests[name]),
            cells=cells[name],
        )
        for name, report in reports.items()
    ]
    common = set.intersection(*map(set, tests.values())) if tests else set()
    return Ranking(columns=columns, rows=_placed(rows, columns), shared=len(common))


def _by_column(tests: Mapping[str, Mapping[str, Any]]) -> dict[Column, Rows]:
    columns: dict[Column, Rows] = {}
    for name, test in tests.items():
        for (measure, probe, bound), verdict in verdicts_of(test):
            column = Column(
                name=measure, test=name.partition("[")[0], unit=verdict["unit"], bound=bound
            )
            columns.setdefault(column, {})[name, probe] = verdict
    return columns


def _shared(held: Sequence[Rows]) -> set[tuple[str, str | None]]:
    """The verdicts that have a number in every report that has any."""
    known = [{key for key, v in rows.items() if v["value"] is not None} for rows in held if rows]
    return set.intersection(*known) if known else set()


def _cell(rows: Rows, shared: set[tuple[str, str | None]]) -> Cell:
    verdicts = list(rows.values())
    values = [rows[key]["value"] for key in shared]
    only = verdicts[0] if len(verdicts) == 1 else None
    if only is not None:
        values = [only["value"]] if only["value"] is not None else []
    estimate = (only or {}).get("set") or {}
    limits = {verdict["limit"] for verdict in verdicts}
    return Cell(
        value=fmean(values) if values else None,
        low=number_of(estimate.get("low")),
        high=number_of(estimate.get("high")),
        limit=limits.pop() if len(limits) == 1 else None,
        of=len(values),
        verdicts=len(verdicts),
        regressed=sum(verdict["outcome"] == "regressed" for verdict in verdicts),
    )


def _decision(report: Mapping[str, Any]) -> str | None:
    answer = report.get("answer")
    return None if answer is None else text_of(answer["decision"])


def _outcomes(tests: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    found = [test["outcome"] for test in tests.values()]
    return {outcome: found.count(outcome) for outcome in SEVERITY if outcome in found}


def _placed(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    # What only some reports have cannot tell them apart.
    full = [
        place
        for place in range(len(columns))
        if all((cell := row.cells[place]) and cell.value is not None for row in rows)
    ]

    def level(row: Row) -> float:
        values = [_level(row.cells[place], columns[place]) for place in full]
        return fmean(values) if values else 0.0

    keys = {id(row): (row.red, row.unknown, level(row)) for row in rows}
    ordered = sorted(rows, key=lambda row: keys[id(row)])
    better = {id(row): sum(keys[id(other)] < keys[id(row)] for other in rows) for row in rows}
    return tuple(replace(row, place=1 + better[id(row)]) for row in ordered)


def _level(cell: Cell | None, column: Column) -> float:
    """A value on its measure's own scale, the higher the worse."""
    value = 0.0 if cell is None or cell.value is None else cell.value
    size = on_scale(abs(value), column.unit)
    return size if (value > 0) == (column.bound != "at_least") else -size
