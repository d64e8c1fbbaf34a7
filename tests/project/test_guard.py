"""The guard over instruction counts: it notices growth, and nothing has grown."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from benchmarks.guard import KEPT, conditions, grown
from tests.support import ROOT


def test_growth_is_told_beyond_the_tolerance_only() -> None:
    kept = {"rerun": 1.0, "page": 0.5}
    assert grown({"rerun": 1.029, "page": 0.4}, kept) == []
    (line,) = grown({"rerun": 1.04, "page": 0.5}, kept)
    assert line.startswith("rerun needs 1.040 times the instructions of empty tests, 1.000 before")


def test_the_kept_numbers_are_of_what_is_measured() -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert kept
    for found in kept.values():
        assert set(found) == {"rerun", "windows", "verdicts", "page"}
        assert all(ratio > 0 for ratio in found.values())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_nothing_needs_more_instructions_than_before() -> None:
    if conditions() not in json.loads(KEPT.read_text(encoding="utf-8")):
        pytest.skip(f"no numbers are kept for {conditions()}: python -m benchmarks.guard --keep")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.guard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
