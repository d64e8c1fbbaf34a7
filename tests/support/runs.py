"""Runs that count what the models are asked."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

COUNTING = """
import json
from pytest_llmdiff import ScriptedEngine

class Counting(ScriptedEngine):
    '''A model that writes down what it is asked, in a file that all processes share.'''

    def generate(self, requests):
        with open(f"{self.default}.calls", "a", encoding="utf-8") as log:
            log.write(json.dumps([r.messages[-1]["content"] for r in requests]) + "\\n")
        return super().generate(requests)

base = Counting({}, default="base")
tuned = Counting({}, default="tuned")
"""


def stored_replies(folder: Path) -> int:
    """How many replies the store of a project holds."""
    with closing(sqlite3.connect(folder / ".llmdiff" / "store.sqlite3")) as store:
        (count,) = store.execute("SELECT count(*) FROM rows WHERE kind = 'reply'").fetchone()
    return int(count)


def calls(project: pytest.Pytester, side: str) -> list[list[str]]:
    file = project.path / f"{side}.calls"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run_counting(
    project: pytest.Pytester, mode: list[str], *args: str, alone: bool = False
) -> pytest.RunResult:
    """A run with two counting engines; `alone` in a process that has loaded nothing yet."""
    (project.path / "counting.py").write_text(COUNTING, encoding="utf-8")
    run = project.runpytest_subprocess if alone else project.runpytest_inprocess
    return run("--llm-base=python:counting:base", "--llm-tuned=python:counting:tuned", *mode, *args)
