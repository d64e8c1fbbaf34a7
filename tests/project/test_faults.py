"""The benchmark of faults in short: no verdict is wrong, and nothing is lost, hangs or is cut."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.mutating import mutated
from benchmarks.faults.tally import Tally, table
from tests.support import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and reads /proc")
COUNTS = ("wrong_verdicts", "lost", "hung", "half_written")


@linux
@pytest.mark.slow
def test_all_kinds_in_short(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--short", f"--json={file}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert [row["kind"] for row in rows if not row["tried"]] in ([], ["full-disks"]), done.stderr
    assert {row["kind"]: [row[name] for name in COUNTS] for row in rows} == {
        row["kind"]: [0, 0, 0, 0] for row in rows
    }, done.stderr


@linux
def test_work_beyond_its_bounds_is_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmarks.faults import bounds

    def work(index: int) -> object:
        if index == 1:
            while True:
                pass
        if index == 2:
            raise SystemExit
        return [index]

    monkeypatch.setattr(bounds, "SECONDS", 0.2)
    outcomes = list(bounds.bounded(work, 4))
    assert [outcome.value for outcome in outcomes] == [[0], None, None, [3]]
    assert outcomes[1].ended == "no end within 0.2 seconds of CPU"
    assert outcomes[2].ended == "the process ended with 1"


def test_mutations_are_those_of_their_seed() -> None:
    good = b'{"a": [1, 2], "b": "x"}\n{"a": []}\n'
    found = [mutated(good, random.Random(seed)) for seed in range(200)]
    assert found == [mutated(good, random.Random(seed)) for seed in range(200)]
    assert len(set(found)) > 150


def test_the_table_has_a_row_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(kind="kills", tried=3)
    tally.add("half_written", "run.json")
    assert table([tally]).splitlines()[2] == "| kills | 3 | 0 | 0 | 0 | 1 |"
    assert capsys.readouterr().err == "kills, half written: run.json\n"
