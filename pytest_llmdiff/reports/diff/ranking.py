"""Several runs of the same tests, ranked: a row for each report, a column for each measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

from pytest_llmdiff.reports.diff.choice import choice_of
from pytest_llmdiff.reports.diff.probed import Place, Probed, probed_of
from pytest_llmdiff.reports.diff.ranked import Cell, Column, Gap, Ranking, Row
from pytest_llmdiff.reports.diff.reading import (
    SEVERITY,
    checked,
    number_of,
    tests_of,
    text_of,
    verdicts_of,
)
from pytest_llmdiff.reports.order import on_scale
from pytest_llmdiff.verdicts.differences import (
    difference,
    error_of_each,
    mean_bounds,
    unbeaten,
)


def ranking_of(reports: Mapping[str, Mapping[str, Any]], *, whole: bool = True) -> Ranking:
    """Ranks reports, by name: fewest tests that regressed or failed, then fewest that are unknown,
    then the lowest values, each on its measure's own scale (`on_scale`). None is chosen of a run
    that is not `whole`.

    Raises:
        ConfigError: one of the reports is damaged.
    """
    return checked(lambda: _ranking(reports, whole=whole))


Rows = dict[Place, Mapping[str, Any]]  # verdicts of a column


def _ranking(reports: Mapping[str, Mapping[str, Any]], *, whole: bool) -> Ranking:
    tests = {name: tests_of(report) for name, report in reports.items()}
    held = {name: _by_column(own) for name, own in tests.items()}
    columns = tuple(dict.fromkeys(column for own in held.values() for column in own))
    cells: dict[str, tuple[Cell | None, ...]] = dict.fromkeys(reports, ())
    probed = {name: probed_of(own) for name, own in tests.items()}
    for column in columns:
        shared = _shared([own.get(column, {}) for own in held.values()])
        for name, own in held.items():
            cell = None
            if column in own:
                cell = _with_bounds(_cell(own[column], shared), probed[name], column, shared)
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
    gaps = tuple(_gaps(columns, probed))
    better = {(gap.better, gap.worse) for gap in gaps if gap.real}
    front = unbeaten(list(reports), better)
    placed = tuple(
        replace(
            row, front=row.report in front,
            gain=_mean_level(row, columns, gain=True), harm=_mean_level(row, columns, gain=False),
        )
        for row in _placed(rows, columns)
    )  # fmt: skip
    keep, because = choice_of(placed, columns, gaps, tests=tests, whole=whole)
    return Ranking(
        columns=columns, rows=placed, shared=len(common), gaps=gaps, keep=keep, because=because
    )


def _gaps(columns: Sequence[Column], probed: Mapping[str, Probed]) -> Iterator[Gap]:
    pairs = list(combinations(probed, 2))
    error = error_of_each(len(columns) * len(pairs))
    for place, column in enumerate(columns):
        for one, other in pairs:
            found = difference(
                probed[one].values.get(column.key, {}),
                probed[other].values.get(column.key, {}),
                probed[one].questions,
                measure=column.name,
                error=error,
            )
            if found is None:
                continue
            above = found if found.value >= 0 else found.turned
            first, second = (one, other) if found.value >= 0 else (other, one)
            better, worse = (first, second) if column.gain else (second, first)
            yield Gap(
                column=place, better=better, worse=worse, value=above.value, low=above.low,
                high=above.high, probes=above.probes,
            )  # fmt: skip


def _mean_level(row: Row, columns: Sequence[Column], *, gain: bool) -> float | None:
    values = [
        on_scale(cell.value, column.unit)
        for cell, column in zip(row.cells, columns, strict=True)
        if cell is not None and cell.value is not None and column.gain == gain
    ]
    return fmean(values) if values else None


def _with_bounds(cell: Cell, probed: Probed, column: Column, shared: set[Place]) -> Cell:
    """The cell of several verdicts with the interval of their mean."""
    if cell.verdicts < 2 or cell.value is None:
        return cell
    held = {
        key: value
        for key, value in probed.values.get(column.key, {}).items()
        if (key[0], key[1]) in shared
    }
    if len(held) < cell.of:
        return cell
    low, high = mean_bounds(held, probed.questions, column.name)
    return replace(cell, low=low, high=high)


def _by_column(tests: Mapping[str, Mapping[str, Any]]) -> dict[Column, Rows]:
    columns: dict[Column, Rows] = {}
    for name, test in tests.items():
        for (measure, probe, bound), verdict in verdicts_of(test):
            column = Column(
                name=measure, test=name.partition("[")[0], unit=verdict["unit"], bound=bound
            )
            columns.setdefault(column, {})[name, probe] = verdict
    return columns


def _shared(held: Sequence[Rows]) -> set[Place]:
    """The verdicts that have a number in every report that has any."""
    known = [{key for key, v in rows.items() if v["value"] is not None} for rows in held if rows]
    return set.intersection(*known) if known else set()


def _cell(rows: Rows, shared: set[Place]) -> Cell:
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
