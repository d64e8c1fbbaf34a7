"""Mutated inputs of every reader: only errors that tell a user what is wrong come out."""

from __future__ import annotations

import random
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.bounds import bounded
from benchmarks.faults.mutating import mutated
from benchmarks.faults.project import new_project
from benchmarks.faults.reading.every import readers
from benchmarks.faults.reading.reader import Reader, fill
from benchmarks.faults.tally import Tally
from pytest_llmdiff.errors import LLMDiffError

FEWEST = 5  # inputs of one reader
CLEAR = (LLMDiffError, pytest.UsageError)


def mutations(tally: Tally, count: int, chance: random.Random) -> None:
    """`count` inputs in all, as many for each reader; a small count is for some readers only."""
    with new_project() as project, tempfile.TemporaryDirectory() as folder:
        project.warm_up()
        found = readers(_made(folder, "good"), project)
        tried = chance.sample(found, max(1, min(len(found), count // FEWEST)))
        each = max(1, count // len(tried))
        for reader in tried:
            _try(tally, reader, each, chance.randrange(2**32), Path(folder))


def _made(folder: str, name: str) -> Path:
    made = Path(folder) / name
    made.mkdir()
    return made


def _try(tally: Tally, reader: Reader, count: int, seed: int, folder: Path) -> None:
    good = reader.files[reader.target]

    def work(index: int) -> Any:
        # The first one is the good file, whose reading loads what others need.
        chance = random.Random(seed + index)
        data = mutated(good, chance) if index else good
        fill(folder / "tried", {**reader.files, reader.target: data})
        return read(reader, folder / "tried", must=not index)

    for outcome in bounded(work, count + 1):
        about = f"{reader.name}, input {outcome.index} of seed {seed}"
        tally.tried += bool(outcome.index)
        if outcome.ended is not None:
            hung = outcome.ended.startswith("no end")
            tally.add("hung" if hung else "lost", f"{about}: {outcome.ended}")
        elif outcome.value is not None:
            kind, told = outcome.value
            tally.add(kind, f"{about}: {told}")


def read(reader: Reader, folder: Path, *, must: bool = False) -> tuple[str, str] | None:
    """The column that the outcome counts in, and the exception; None where all is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(folder)
        except CLEAR as error:
            return ("lost", f"the good file is refused: {error}") if must else None
        except MemoryError:
            return "hung", traceback.format_exc(limit=-4)
        except BaseException:  # a panic of Rust's is none of Exception
            return "lost", traceback.format_exc(limit=-4)
    return None
