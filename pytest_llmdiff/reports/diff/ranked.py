"""The values of a ranking: its columns, its rows, and the differences between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_llmdiff.reports.diff.reading import severity


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measure of a test; `bound` is the side of its limit that values have to be on."""

    name: str
    test: str
    unit: str
    bound: str | None

    @property
    def key(self) -> tuple[str, str, str | None]:
        return self.name, self.test, self.bound

    @property
    def gain(self) -> bool:
        """Whether the higher values are the better ones."""
        return self.bound == "at_least"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A measure in one report.

    `value` is that of the only verdict, or the mean over the `of` verdicts that have a number in
    all reports; None where there is none. `low` and `high` are the ends of its 90 % interval.
    `limit` is that of all verdicts, None if they differ. Of `verdicts`, `regressed` broke it.
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
    order of the columns, None where the report has no such verdict. `front` says that no other
    report beats it, `gain` and `harm` are the means of the columns that should be high and low,
    each on its measure's own scale."""

    place: int
    report: str
    base: str
    tuned: str
    decision: str | None
    outcomes: Mapping[str, int]
    missing: int
    cells: tuple[Cell | None, ...]
    front: bool = True
    gain: float | None = None
    harm: float | None = None

    @property
    def red(self) -> int:
        """Tests that regressed or failed."""
        return sum(n for outcome, n in self.outcomes.items() if severity(outcome) == 3)

    @property
    def broke(self) -> bool:
        """Whether it broke a limit, or an assertion of a test's own."""
        return bool(self.outcomes.get("regressed") or self.outcomes.get("failed"))

    @property
    def idle(self) -> bool:
        """Whether none of its tests came to a result: they were not run, or all skipped."""
        return not any(outcome != "skipped" for outcome in self.outcomes)

    @property
    def unknown(self) -> int:
        """Tests that decided nothing, or are missing."""
        return self.missing + sum(
            n for outcome, n in self.outcomes.items() if 0 < severity(outcome) < 3
        )

    @property
    def undecided(self) -> int:
        """Tests without a verdict, though they were not skipped."""
        return self.missing + sum(
            n for outcome, n in self.outcomes.items() if severity(outcome) == 2
        )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How much better one report is than another in a column (its number), over the same probes.

    `value` is the size of the difference, `low` and `high` its bounds, which hold for all gaps of
    the ranking together; None where there is none. It is `real` if `low` is above 0.
    """

    column: int
    better: str
    worse: str
    value: float
    low: float | None
    high: float | None
    probes: int

    @property
    def real(self) -> bool:
        return self.low is not None and self.low > 0


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The reports, the best first; `shared` is the number of tests that all of them have, `gaps`
    the differences that could be paired. `keep` is the report to keep, None if the probes cannot
    tell, and `because` why."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shared: int
    gaps: tuple[Gap, ...] = ()
    keep: str | None = None
    because: str = ""
