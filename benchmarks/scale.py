"""Time and memory for large probe files and reruns, compared with pytest alone.

    python benchmarks/scale.py --json scale.json

Each run of `pytest` is a separate process over generated suites with scripted models, in turns. CPU
time is that of the whole process, start-up included; ratios are medians over rounds of ratios
within a round.

  collect    `--collect-only` with one test case per row of a probe file, against as many cases of
             `@pytest.mark.parametrize` with the same ids
  rerun      one test case per probe with a limit on its drift, all replies and scores stored,
             against as many empty test cases
  set        one test over the fixture `comparisons`, with one verdict on the mean drift; the first
             run generates everything, the second reads it from the store
  compare    one test over `llm_pair.compare_all`, with prompts read from a file line by line

`--instructions` also counts the rerun's instructions on both sides with valgrind. They hardly vary
from run to run, while CPU time varies by a tenth.

The processes write and use bytecode, like those of an installed package. The plugin is loaded on
both sides, as on any machine that has it; pytest alone gets no models.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")

PARAMETRIZED = """\
import json, pathlib, pytest

IDS = json.loads((pathlib.Path(__file__).parent / "ids.json").read_text())

@pytest.mark.parametrize("x", list(range(len(IDS))), ids=IDS)
def test_it(x):
    pass
"""
PROBES = """\
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_it(comparison):
    assert_semantic_drift(comparison, at_most=1.5)
"""
COMPARED = """\
import json, time

def prompts():
    with open("probes.jsonl", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["prompt"]

def test_all(llm_pair):
    started = time.process_time()
    count = sum(1 for comparison in llm_pair.compare_all(prompts()))
    seconds = time.process_time() - started
    with open("measured.json", "w") as file:
        json.dump({"count": count, "seconds": seconds}, file)
"""
SET = """\
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=1.5)
"""
# A cheap embedder without dependencies: letter counts.
SCORERS = """\
class Letters:
    def encode(self, texts):
        return [[t.count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]
"""
CONFIG = '[pytest]\npythonpath = ["."]\nllmdiff_embedder = "python:scorers:Letters"\n'


@dataclass(frozen=True)
class Used:
    """CPU-seconds and peak MB of a process."""

    seconds: float
    peak_mb: float


def prompt(number: int) -> str:
    return f"Question {number}: what should I know about order {number * 7919 % 100003}, please?"


def write_suite(folder: Path, rows: int) -> None:
    """A probe file with its suite, the same ids for `parametrize`, and scripted models."""
    from pytest_llmdiff.data.probes import unique_ids
    from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

    folder.mkdir()
    prompts = [prompt(number) for number in range(rows)]
    files = {
        "probes.jsonl": "".join(json.dumps({"prompt": text}) + "\n" for text in prompts),
        "test_probes.py": PROBES,
        "test_parametrized.py": PARAMETRIZED,
        "test_compared.py": COMPARED,
        "test_set.py": SET,
        "scorers.py": SCORERS,
        "pytest.toml": CONFIG,
    }
    for side, beginning in (("base", "You can find it in My Orders."), ("tuned", "Thank you!")):
        replies = {text: f"{beginning} This answers: {text}" for text in prompts[:1000]}
        files[f"{side}.json"] = json.dumps({"replies": replies, "default": beginning})
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    probes = unique_ids(probes_of_marker((), {"file": "probes.jsonl"}, folder=folder))
    (folder / "ids.json").write_text(json.dumps([probe.id for probe in probes]), encoding="utf-8")


def make_suite(folder: Path, rows: int) -> None:
    """The same in a separate process: a process inherits the peak of the one that forks it."""
    command = [sys.executable, __file__, "--make", str(folder), "--rows", str(rows)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


def environment_of(folder: Path) -> dict[str, str]:
    """Processes in a folder write bytecode beside it, and use it."""
    kept = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    bytecode = str(folder.parent / "bytecode")
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": bytecode}


def command_of(folder: Path, args: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """A pytest command and its environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    return command, environment_of(folder)


def counted(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> float:
    """Millions of instructions of a Python process, by valgrind; `command` follows `python`."""
    given = environment_of(folder) if environment is None else dict(environment)
    fixed = given | {
        "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    counting = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    done = subprocess.run(
        ["valgrind", *counting, sys.executable, *command],
        cwd=folder, env=fixed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"I *refs: *([0-9,]+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind counted nothing:\n{done.stdout}{done.stderr[-4000:]}")
    return int(found[1].replace(",", "")) / 1e6


def instructions(folder: Path, *args: str) -> float:
    """Millions of instructions of one pytest process, after a first run."""
    return counted(command_of(folder, args)[0][1:], folder)


def pytest_run(folder: Path, *args: str) -> Used:
    """Runs one pytest process, which must pass."""
    command, environment = command_of(folder, args)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()[-4000:]}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(
    folder: Path, ours: Sequence[str], theirs: Sequence[str], rounds: int
) -> list[tuple[float, float]]:
    """CPU-seconds of both in each round, after one run each to fill caches and store."""
    for args in (ours, theirs):
        pytest_run(folder, *args)
    found = []
    for number in range(rounds):
        if number % 2:
            other, own = pytest_run(folder, *theirs), pytest_run(folder, *ours)
        else:
            own, other = pytest_run(folder, *ours), pytest_run(folder, *theirs)
        found.append((own.seconds, other.seconds))
    return found


def compare(folder: Path, rows: int) -> dict[str, float]:
    """Rows through `compare_all` in one test, from an empty store."""
    make_suite(folder, rows)
    used = pytest_run(folder, "test_compared.py", *MODELS)
    measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    if measured["count"] != rows:
        raise SystemExit(f"{measured['count']} of {rows} prompts were compared")
    size = sum(file.stat().st_size for file in (folder / ".llmdiff").glob("store.sqlite3*"))
    return {
        "peak_mb": used.peak_mb,
        "rows_per_second": rows / measured["seconds"],
        "store_bytes_per_row": size / rows,
    }


def judge(folder: Path, rows: int) -> dict[str, float]:
    """One verdict over the probes, from an empty store and again."""
    make_suite(folder, rows)
    first = pytest_run(folder, "test_set.py", *MODELS)
    again = pytest_run(folder, "test_set.py", *MODELS)
    return {
        "peak_mb": max(first.peak_mb, again.peak_mb),
        "rows_per_second": rows / first.seconds,
        "again_rows_per_second": rows / again.seconds,
    }


def ratio(found: Sequence[tuple[float, float]]) -> float:
    return round(statistics.median(own / other for own, other in found), 3)


def show(name: str, found: Sequence[tuple[float, float]]) -> None:
    own, other = (statistics.median(column) for column in zip(*found, strict=True))
    each = ", ".join(f"{ours / theirs:.2f}" for ours, theirs in found)
    print(f"| {name} | {own:.2f} s | {other:.2f} s | {ratio(found)} | {each} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rows", type=int, default=100_000, help="of the large probe file")
    parser.add_argument("--probes", type=int, default=500, help="of the rerun")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instructions", action="store_true", help="needs valgrind")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        write_suite(options.make, options.rows)
        return
    figures: dict[str, Any] = {"rows": options.rows, "probes": options.probes}
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        print("| what | plugin | pytest | ratio | each round |\n|---|---|---|---|---|")
        make_suite(home / "collect", options.rows)
        only = ("--collect-only", "-q")
        found = in_turns(
            home / "collect",
            (*only, "test_probes.py", *MODELS),
            (*only, "test_parametrized.py"),
            options.rounds,
        )
        show(f"collecting {options.rows} test cases", found)
        figures["collect_vs_parametrize"] = ratio(found)
        make_suite(home / "rerun", options.probes)
        found = in_turns(
            home / "rerun", ("test_probes.py", *MODELS), ("test_parametrized.py",), options.rounds
        )
        show(f"rerunning {options.probes} test cases", found)
        figures["rerun_vs_empty"] = ratio(found)
        if options.instructions:
            counted = [
                instructions(home / "rerun", *args)
                for args in (("test_probes.py", *MODELS), ("test_parametrized.py",))
            ]
            own, other = counted
            print(f"| its instructions | {own:.0f} M | {other:.0f} M | {own / other:.3f} | |")
            figures["rerun_instructions"] = round(own / other, 3)
        print("\n| prompts | peak memory | prompts per CPU-second | store |\n|---|---|---|---|")
        figures["peak_mb_at"] = {}
        for rows in (max(1, options.rows // 10), options.rows):
            got = compare(home / f"compare-{rows}", rows)
            print(
                f"| {rows} | {got['peak_mb']:.0f} MB | {got['rows_per_second']:.0f} | "
                f"{got['store_bytes_per_row']:.0f} bytes per prompt |",
                flush=True,
            )
            figures["peak_mb_at"][str(rows)] = round(got["peak_mb"], 1)
            figures["rows_per_second"] = round(got["rows_per_second"])
            figures["store_bytes_per_row"] = round(got["store_bytes_per_row"])
        print(
            "\n| probes in a set | peak memory | probes per CPU-second | again |\n|---|---|---|---|"
        )
        figures["set_peak_mb_at"] = {}
        for rows in (max(1, options.rows // 10), options.rows):
            got = judge(home / f"set-{rows}", rows)
            print(
                f"| {rows} | {got['peak_mb']:.0f} MB | {got['rows_per_second']:.0f} | "
                f"{got['again_rows_per_second']:.0f} |",
                flush=True,
            )
            figures["set_peak_mb_at"][str(rows)] = round(got["peak_mb"], 1)
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
