"""Which of several models to keep, and why, as far as the probes can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_llmdiff.data.text.printing import counted, number, printable
from pytest_llmdiff.reports.diff.ranked import Column, Gap, Ranking, Row
from pytest_llmdiff.verdicts.differences import unbeaten

NO_DIFFERENCE = "no difference that these probes can show"
REASONS = 2  # that are named


def choice_of(
    rows: Sequence[Row], columns: Sequence[Column], gaps: Iterable[Gap], *, whole: bool = True
) -> tuple[str | None, str]:
    """The report to keep and why; or None, and why not.

    Only those are kept whose tests were all decided and passed, and only where all have the same
    tests. Of these, what is not shown to be
    better is not chosen. `whole` says that all tests were run.
    """
    if len(rows) < 2:
        return None, ""
    if not whole:
        return None, "the run ended before all tests of all models had run, so none is chosen"
    idle = [row.report for row in rows if row.idle]
    if idle:
        return None, f"of {_listed(idle)}, no test passed or failed, so there is nothing to choose"
    if lacking := [row for row in rows if row.missing]:
        tests = counted(lacking[0].missing + sum(lacking[0].outcomes.values()), "test")
        return None, (
            f"{printable(lacking[0].report)} lacks {lacking[0].missing} of {tests} that another "
            "has, so none is chosen: run the same tests of all models"
        )
    sound = [row.report for row in rows if not row.red and not row.undecided and row.outcomes]
    if not sound:
        return None, f"none keeps every limit; {_closest(rows[0])}"
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


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(map(printable, names[:-1])), printable(names[-1]))))
