"""Records the verdicts for the reports, and raises if one of them did not pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.verdicts.sets import Sample


def report(run: Any, comparison: Comparison | None, verdicts: Sequence[Verdict]) -> None:
    """Record the verdicts, passed or not, and raise where one did not pass."""
    __tracebackhide__ = True
    for verdict in verdicts:
        if run is not None:
            run.record(comparison, verdict)
    if all(verdict.passed or _let_pass(run, verdict) for verdict in verdicts):
        if run is not None and comparison is not None and run.settings.explain == "all":
            run.explain(comparison)  # for the reports
        return
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.reports.failure import failure_text

    explanation = Explanation()
    if run is not None and comparison is not None:
        explanation = run.explain(comparison)
    elif run is not None:
        explanation = Explanation(rerun=run.rerun())
    raise AssertionError(failure_text(verdicts, comparison=comparison, explanation=explanation))


def report_set(found: Sequence[tuple[Verdict, Sample]]) -> None:
    """The same for the verdicts on a set."""
    __tracebackhide__ = True
    run: Any = found[0][1].run
    for verdict, sample in found:
        if run is not None:
            run.record(None, verdict, sample)
    open_ = [(v, sample) for v, sample in found if not v.passed and not _let_pass(run, v)]
    shown = found if run is not None and run.settings.explain == "all" else open_
    explained = {} if run is None else _explained(run, shown)
    if open_:
        from pytest_llmdiff.reports.failure import set_failure_text

        rerun = "" if run is None else run.rerun()
        raise AssertionError(set_failure_text(open_, explained=explained, rerun=rerun))


def _explained(run: Any, found: Sequence[tuple[Verdict, Sample]]) -> dict[int, Explanation]:
    """What explains the worst members of sets, by the identity of the comparison: several verdicts
    may rest on the same."""
    from pytest_llmdiff.reports.failure import worst_shown

    members = {id(c): c for verdict, sample in found for _, c in worst_shown(verdict, sample)}
    return {key: run.explain(comparison) for key, comparison in members.items()}


def _let_pass(run: Any, verdict: Verdict) -> bool:
    """Whether the test goes on although the verdict is no pass.

    The helpers after it must have their say too where nothing is judged, where changes are
    accepted, and where a set may be too small.
    """
    if run is None:
        return False
    settings = run.settings
    if verdict.outcome == "inconclusive" and settings.inconclusive != "fail":
        return True
    accepting = settings.accept and verdict.outcome in ("regressed", "inconclusive")
    return bool(run.calibrating or accepting)
