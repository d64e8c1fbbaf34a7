"""`--llmdiff-plan`: what a run would ask the models, and which effects its sets could detect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_llmdiff.data.comparison import Side
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.text.printing import counted, duration
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.plugin.session import Session
from pytest_llmdiff.reports.diff.last_run import LastRun, last_run
from pytest_llmdiff.reports.terminal.plan import power_lines
from pytest_llmdiff.verdicts.power import GUESSING, PlannedSet, Spread

SUPPOSED = (0.05, 0.2, GUESSING)  # errors of a judge that nobody has measured


def preview_lines(session: Session, sets: Mapping[str, Sequence[Probe]]) -> list[str]:
    """Lines for the summary; `sets` has the probes of each test over a whole set."""
    lines = [*_requests(session)]
    last = LastRun()
    try:
        last = _last_run(session.settings.json)
    except ConfigError as error:
        lines.append(f"  the last run's report was not used: {error}")
    for test, probes in sets.items():
        lines += power_lines(_planned(session, last, test, probes))
    return lines


def _last_run(path: Path | None) -> LastRun:
    """The last run, if it wrote a report to where this one will."""
    return LastRun() if path is None or not path.exists() else last_run(path)


def _planned(session: Session, last: LastRun, test: str, probes: Sequence[Probe]) -> PlannedSet:
    baseline = session.allowed.baseline
    measured = {} if baseline is None else baseline.tests.get(test, {})
    spreads = {
        name: Spread(value=noise.spread, questions=noise.questions, source="the baseline")
        for name, noise in measured.items()
        if noise.spread is not None
    }
    judge = session.settings.judge is not None
    return PlannedSet(
        test=test,
        probes=len(probes),
        questions=len({probe.question for probe in probes}),
        spreads={**last.spreads.get(test, {}), **spreads},
        judge_errors=last.judge_errors.get(test, SUPPOSED) if judge else (),
    )


def _requests(session: Session) -> Iterator[str]:
    yield f"plan: {counted(session.pair_run.generation.planned, 'request')} to each model"
    yield from _side(session, "base")
    for model in session.models:
        session.use(model)
        yield from _side(session, "tuned", f" ({model.name})")
    if not session.models:
        yield from _side(session, "tuned")


def _side(session: Session, side: Side, which: str = "") -> Iterator[str]:
    generation = session.pair_run.generation
    total, fresh = generation.planned, generation.windows.missing(side)
    text = f"  {side:<6}{which} {total - fresh} from the store, {fresh} to answer"
    yield text + (f", {_time(generation, side, fresh)}" if fresh else "")


def _time(generation: ReplyGenerator, side: Side, fresh: int) -> str:
    """How long the replies take, by the speed of an earlier run of this model or of the other."""
    other: Side = "tuned" if side == "base" else "base"
    for model, of in ((side, ""), (other, f" at the speed of the {other} model")):
        if (speed := generation.windows.speed(model)) is not None:
            return f"about {duration(speed * fresh)}{of}"
    return "in an unknown time: neither model has run with this store"
