"""A disk that is full when an output is written: the old one stays, and no run is green."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.project import (
    COMMANDS,
    OUTPUTS,
    Project,
    Verdicts,
    fault_in,
    new_project,
)
from benchmarks.faults.tally import Tally

DISK = 256 << 10  # bytes of the small disk
# By what is on the small disk: the command, and its option that says so. A run writes all else
# beside its tests.
TARGETS: Mapping[str, tuple[str, str]] = {
    "run.json": ("judge", "--llmdiff-json"),
    "run.html": ("judge", "--llmdiff-html"),
    "run.md": ("judge", "--llmdiff-markdown"),
    "run.jsonl": ("judge", "--llmdiff-record"),
    "moved": ("judge", "--llmdiff-export"),
    "accepted.yaml": ("accept", "--llmdiff-accepted"),
    "baseline.json": ("calibrate", "--llmdiff-calibrate"),
    "store": ("judge", "--llmdiff-store"),
    "summary.md": ("judge", ""),  # GITHUB_STEP_SUMMARY
}


def full_disks(tally: Tally, count: int, chance: random.Random) -> None:
    with new_project() as project:
        project.warm_up()
        for output in {each for outputs in OUTPUTS.values() for each in outputs}:
            project.file(output).unlink(missing_ok=True)
        references: dict[str, Verdicts] = {}
        targets = [*TARGETS]
        for number in range(count):
            target = targets[number % len(targets)]
            name = TARGETS[target][0]
            if name not in references:
                references[name] = _reference(project, name)
            _fill(tally, project, target, references[name], chance)


def _reference(project: Project, name: str) -> Verdicts:
    project.file("accepted.yaml").unlink(missing_ok=True)
    project.run_warm(*COMMANDS[name])
    return project.verdicts()


def _fill(
    tally: Tally, project: Project, target: str, reference: Verdicts, chance: random.Random
) -> None:
    name, option = TARGETS[target]
    for output in {each for outputs in OUTPUTS.values() for each in outputs}:
        project.file(output).unlink(missing_ok=True)
    project.forget()
    with small_disk(project.file("disk")) as disk:
        place = disk / target
        if target != "store":
            _old(place)
        old = _contents(place)
        # From no room at all to as much as most of the outputs need.
        free = chance.choice((0, 4096, chance.randrange(60_000)))
        _take_all_but(disk, free)
        more = {} if option else {"GITHUB_STEP_SUMMARY": str(place)}
        given = [f"{option}={place}"] if option else []
        ended = project.run_warm(*COMMANDS[name], *given, environment=more)
        left = _contents(place)
    tally.tried += 1
    about = f"{target} with {free} bytes free"
    if ended.code is None:
        tally.add("hung", about)
        return
    written = left != old
    if target != "store" and written:
        for file, data in left.items():
            if data != old.get(file) and (fault := fault_in(file, data)):
                tally.add("half_written", f"{about}: {fault}")
    # A recording is made of what the store has.
    others = [each for each in OUTPUTS[name] if (target, each) != ("store", "run.jsonl")]
    for output in others:
        if output != target and not project.file(output).exists():
            tally.add("lost", f"{about}: {output} was not written; {ended.said[-500:]}")
        elif output != target and (fault := project.not_whole(output)):
            tally.add("half_written", f"{about}: {fault}")
    # The summary of a workflow is told of, and fails no run.
    required = target not in ("store", "summary.md")
    if required and not written and (ended.code == 0 or "nothing was written" not in ended.said):
        tally.add("wrong_verdicts", f"{about}: exit {ended.code}, {ended.said[-500:]}")
    elif target != "run.json" and project.file("run.json").exists():
        code, tests = project.verdicts()
        judged = {test: found for test, found in tests.items() if found[0] != "error"}
        if code != ended.code or (code == 0 and tests != reference[1]) or any(
            reference[1][test] != found for test, found in judged.items()
        ):  # fmt: skip
            tally.add("wrong_verdicts", f"{about}: exit {ended.code}, {ended.said[-500:]}")
    project.forget()
    project.file("accepted.yaml").unlink(missing_ok=True)
    project.run_warm(*COMMANDS[name])
    if project.verdicts() != reference:
        tally.add("wrong_verdicts", f"the run after {about}")


def _old(place: Path) -> None:
    """What an earlier run left there, of no other meaning than to be kept."""
    if place.name == "moved":
        place.mkdir()
        (place / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}\n')
        return
    texts = {
        "accepted.yaml": "# reviewed\n[]\n",
        "run.jsonl": '{"kind": "an earlier recording"}\n',
        "run.html": "<html>an earlier page</html>\n",
    }
    text = '{"schema": "an earlier file"}\n' if place.suffix == ".json" else "# An earlier one\n"
    place.write_text(texts.get(place.name, text), encoding="utf-8")


def _contents(place: Path) -> dict[str, bytes]:
    files = [place] if place.is_file() else sorted(place.rglob("*"))
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def _take_all_but(disk: Path, free: int) -> None:
    """Fill a disk, whose blocks are pages."""
    status = os.statvfs(disk)
    pages = status.f_bavail - -(-free // status.f_bsize)
    with (disk / "filling").open("wb") as file:
        file.write(bytes(max(0, pages) * status.f_bsize))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own in memory.

    Raises:
        NoDisk: this process may not mount one.
    """
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDisk(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class NoDisk(Exception):
    """No file system can be mounted."""
