"""Two signals in a row: no green exit, and reports say that the run was cut off."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from benchmarks.faults.project import COMMANDS, Ended, Project, Run, Verdicts, new_project
from benchmarks.faults.tally import Tally

INTERRUPTED = "the run ended before all of its tests had run"
# What comes first, and what comes a little later.
PAIRS: Mapping[str, tuple[str, str]] = {
    "SIGINT twice": ("SIGINT", "SIGINT"),
    "SIGINT, then SIGTERM": ("SIGINT", "SIGTERM"),
    "SIGTERM twice": ("SIGTERM", "SIGTERM"),
    "SIGHUP, then SIGTERM": ("SIGHUP", "SIGTERM"),
    "a closed terminal": ("close", "SIGHUP"),
    "SIGINT, then a crash": ("SIGINT", "SIGABRT"),
    "SIGTERM, then SIGKILL": ("SIGTERM", "SIGKILL"),
}


def interruptions(tally: Tally, count: int, chance: random.Random) -> None:
    with new_project() as project:
        begin = time.monotonic()
        project.run(*COMMANDS["judge"])
        seconds, reference = time.monotonic() - begin, project.verdicts()
        names = [*PAIRS]
        for number in range(count):
            _interrupt(tally, project, names[number % len(names)], seconds, reference, chance)


def _interrupt(
    tally: Tally,
    project: Project,
    name: str,
    seconds: float,
    reference: Verdicts,
    chance: random.Random,
) -> None:
    project.forget()
    for file in ("run.json", "run.html", "run.md", "run.jsonl", "generating"):
        project.file(file).unlink(missing_ok=True)
    main, terminal = os.openpty()
    ends = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    run = project.start(*COMMANDS["judge"], **(ends if PAIRS[name][0] == "close" else {}))
    os.close(terminal)
    started = time.monotonic()
    while not project.file("generating").exists() and run.poll() is None:
        time.sleep(0.001)
    # From the first reply to the end; the second follows at once, or while reports are written.
    left = max(0.1, seconds - (time.monotonic() - started))
    pause, gap = chance.random() * left, chance.choice((0.0, 0.01, 0.05, 0.2, 1.0))
    time.sleep(pause)
    for index, what in enumerate(PAIRS[name]):
        _send(run, what, main)
        time.sleep(0 if index else gap)
    with suppress(OSError):
        os.close(main)
    ended = project.wait(run)
    tally.tried += 1
    about = f"{name}, {pause:.2f} s after the first reply and {gap} s apart"
    if ended.code is None:
        tally.add("hung", about)
        return
    for file in ("run.json", "run.html", "run.md", "run.jsonl"):
        if project.file(file).exists() and (fault := project.not_whole(file)):
            tally.add("half_written", f"{about}: {fault}")
    _check(tally, project, about, ended, reference)


def _check(tally: Tally, project: Project, about: str, ended: Ended, reference: Verdicts) -> None:
    """That the exit code and the reports tell whether all collected tests have run."""
    file = project.file("run.json")
    report = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    told = None if report is None else report["exit_code"]
    # Of what was collected, all must have been judged by a run that says it has finished.
    finished = report is not None and project.verdicts()[1:] == reference[1:]
    if finished:
        # The signal came when all was done, and may still have ended the process.
        if ended.code is not None and ended.code >= 0 and ended.code not in (reference[0], 2):
            tally.add("wrong_verdicts", f"{about}: all done, and exit {ended.code}")
        return
    if ended.code in (0, 1, 5):
        tally.add("wrong_verdicts", f"{about}: exit {ended.code}, {ended.said[-500:]}")
    if report is None:
        return
    if told in (0, 1, 5, None) or INTERRUPTED not in report["warnings"]:
        tally.add("wrong_verdicts", f"{about}: run.json says {told}, {report['warnings']}")
    for page, words in (("run.html", INTERRUPTED), ("run.md", INTERRUPTED)):
        if project.file(page).exists() and words not in _plain(project.file(page)):
            tally.add("wrong_verdicts", f"{about}: {page} does not say that it was cut off")


def _plain(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _send(run: Run, what: str, main: int) -> None:
    if what == "close":
        os.close(main)
        return
    with suppress(ProcessLookupError):
        os.killpg(run.pid, getattr(signal, what))
