"""Records verdicts for the reports, and raises if one of them did not pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Run
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.verdicts.sets import Sample


class ExplainingRun(Run, Protocol):
    """A run that explains what failed."""

    def explain(self, comparison: Comparison, *, briefly: bool = False) -> Explanation: ...


def report(run: Run | None, comparison: Comparison | None, verdicts: Sequence[Verdict]) -> None:
    """Records the verdicts on a comparison, or on the models as a whole (None).

    Raises:
        AssertionError: one of them did not pass.
    """
    __tracebackhide__ = True
    for verdict in verdicts:
        if run is not None:
            run.record(comparison, verdict)
    if all(verdict.passed or _tolerated(run, verdict) for verdict in verdicts):
        if run is not None and comparison is not None and run.settings.explain == "all":
            cast("ExplainingRun", run).explain(comparison)  # for the reports
        return
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.reports.failure import failure_text

    explanation = Explanation()
    if run is not None and comparison is not None:
        explanation = cast("ExplainingRun", run).explain(comparison)
    elif run is not None:
        explanation = Explanation(rerun=run.rerun())
    raise AssertionError(failure_text(verdicts, comparison=comparison, explanation=explanation))


def report_set(judged: Sequence[tuple[Verdict, Sample]]) -> None:
    """Records the verdicts on a set, each with the sample that it rests on.

    Raises:
        AssertionError: one of them did not pass.
    """
    __tracebackhide__ = True
    run = judged[0][1].run
    for verdict, sample in judged:
        if run is not None:
            run.record(None, verdict, sample)
    failed = [(v, sample) for v, sample in judged if not v.passed and not _tolerated(run, v)]
    shown = judged if run is not None and run.settings.explain == "all" else failed
    explained = {} if run is None else _explained(cast("ExplainingRun", run), shown)
    if failed:
        from pytest_llmdiff.reports.failure import set_failure_text

        rerun = "" if run is None else run.rerun()
        raise AssertionError(set_failure_text(failed, explained=explained, rerun=rerun))


def _explained(
    run: ExplainingRun, judged: Sequence[tuple[Verdict, Sample]]
) -> dict[int, Explanation]:
    """The explanations of the worst members, by `id()`: several verdicts may share a member. Only
    the worst one of each verdict has all of them."""
    from pytest_llmdiff.reports.failure import worst_shown

    shown = [[c for _, c in worst_shown(verdict, sample)] for verdict, sample in judged]
    first = {id(members[0]) for members in shown if members}
    return {
        id(c): run.explain(c, briefly=id(c) not in first)
        for c in {id(c): c for members in shown for c in members}.values()
    }


def _tolerated(run: Run | None, verdict: Verdict) -> bool:
    """Whether the test goes on although the verdict did not pass.

    It does during calibration, while changes are being accepted, and where the settings let
    inconclusive sets pass, so that the helpers after this one are measured as well.
    """
    if run is None:
        return False
    settings = run.settings
    if verdict.outcome == "inconclusive" and settings.inconclusive != "fail":
        return True
    accepting = settings.accept and verdict.outcome in ("regressed", "inconclusive")
    return settings.calibrating or accepting
