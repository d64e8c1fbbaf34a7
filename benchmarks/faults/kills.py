"""kill -9 at random moments: what is left is whole, and the next run judges as if nothing was."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.faults.project import (
    COMMANDS,
    OUTPUTS,
    Project,
    Run,
    Verdicts,
    end_group,
    new_project,
)
from benchmarks.faults.tally import Tally
from benchmarks.faults.warm import PATIENCE

Moment = Callable[[Project, str], Callable[[], bool]]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An undisturbed run of a command: its verdicts, the files before and after, its seconds."""

    verdicts: Verdicts
    before: Mapping[str, bytes | None]
    seconds: float


def kills(tally: Tally, count: int, chance: random.Random, mode: tuple[str, ...] = ()) -> None:
    with new_project() as project:
        project.warm_up()
        references: dict[str, Reference] = {}
        for _ in range(count):
            name = chance.choices([*COMMANDS], weights=[3, 1, 1])[0]
            if name not in references:
                references[name] = _reference(project, name, mode)
            _kill(tally, project, name, references[name], chance, mode)


def _reference(project: Project, name: str, mode: tuple[str, ...]) -> Reference:
    for output in {each for outputs in OUTPUTS.values() for each in outputs}:
        project.file(output).unlink(missing_ok=True)
    # What an earlier run left, of which there is less: fewer entries, fewer tests.
    project.run_warm(*COMMANDS[name], "-k", "question-1")
    before = project.contents(OUTPUTS[name])
    project.forget()
    ended = project.run_warm(*COMMANDS[name], *mode)
    verdicts = project.verdicts()
    if ended.code != verdicts[0] or None in before.values():
        raise SystemExit(f"the undisturbed run failed: {ended.said}")
    return Reference(verdicts=verdicts, before=before, seconds=ended.seconds)


def _kill(
    tally: Tally,
    project: Project,
    name: str,
    reference: Reference,
    chance: random.Random,
    mode: tuple[str, ...],
) -> None:
    project.forget()
    project.file("generating").unlink(missing_ok=True)
    project.restore(reference.before)
    moment = chance.choice(list(MOMENTS))
    so = MOMENTS[moment](project, name)
    run = project.start_warm(*COMMANDS[name], *mode)
    _until(run, so)
    # Soon after what was waited for, or at any time of the run.
    pause = chance.random() * reference.seconds * (1.1 if moment == "any time" else 0.1)
    time.sleep(pause)
    alone = bool(mode) and chance.random() < 0.3
    killed = run.poll() is None
    if killed and alone:
        os.kill(run.pid, signal.SIGKILL)  # its workers find out by themselves
    elif killed:
        end_group(run)
    run.wait()
    tally.tried += 1
    about = f"{name} {' '.join(mode)}, {pause:.3f} s after {moment}{', alone' if alone else ''}"
    _check_left(tally, project, name, reference, about)
    project.restore(reference.before)
    ended = project.run_warm(*COMMANDS[name], *mode)
    end_group(run)
    if ended.code is None:
        tally.add("hung", f"the run after {about}")
        return
    for output in OUTPUTS[name]:
        if fault := project.not_whole(output):
            tally.add("half_written", f"after {about} and a further run: {fault}")
    found = project.verdicts()
    if lost := set(reference.verdicts[1]) - set(found[1]):
        tally.add("lost", f"after {about}: {sorted(lost)[:3]}")
    elif found != reference.verdicts or ended.code != found[0]:
        tally.add("wrong_verdicts", f"after {about}: exit {ended.code}, {ended.said[-600:]}")


def _check_left(
    tally: Tally, project: Project, name: str, reference: Reference, about: str
) -> None:
    """That each file is the old one or a whole new one, and a new report says what is so."""
    left = project.contents(OUTPUTS[name])
    for output, content in left.items():
        if content is None:
            tally.add("lost", f"{output} after {about}")
        elif content != reference.before[output] and (fault := project.not_whole(output)):
            tally.add("half_written", f"after {about}: {fault}")
        elif (
            output == "run.json"
            and content != reference.before[output]
            and project.verdicts() != reference.verdicts
        ):
            tally.add("wrong_verdicts", f"run.json left after {about}")


# Moments: what to wait for. A time after it is waited on top.


def _start(project: Project, name: str) -> Callable[[], bool]:  # noqa: ARG001
    return lambda: True


def _store(project: Project, name: str) -> Callable[[], bool]:  # noqa: ARG001
    return project.store.exists


def _reply(project: Project, name: str) -> Callable[[], bool]:  # noqa: ARG001
    return project.file("generating").exists


def _file(project: Project, name: str) -> Callable[[], bool]:
    first = project.file(OUTPUTS[name][0])
    was, drafts = first.stat().st_ino, project.folder.glob
    return lambda: first.stat().st_ino != was or any(drafts(".llmdiff-*.part"))


MOMENTS: Mapping[str, Moment] = {
    "any time": _start,
    "the store's birth": _store,
    "the first reply": _reply,
    "the first file": _file,
}


def _until(run: Run, so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not so() and run.poll() is None and time.monotonic() < until:
        time.sleep(0.0005)
