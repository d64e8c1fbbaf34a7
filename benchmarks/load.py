"""A run with thousands of failures, against pytest's own time for as many plain failures.

    python benchmarks/load.py [--json FILE] [--probes 20000] [--failures 2000] [--rounds 1]

Both sides run as many test cases, of which as many fail, in processes of their own and in turns.
CPU time of the whole process is compared, which other people's load on the machine hardly
changes. The plugin asks scripted models, measures a drift for each, explains and reports the
failures, and writes its JSON report; pytest alone runs parametrized tests with the same ids and a
failing `assert`, with tracebacks as by default and with `--tb=line`, where it looks through the
reports of all tests for no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.scale import CONFIG, MODELS, SCORERS, command_of, prompt  # noqa: E402

OURS = """\
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_it(comparison):
    assert_semantic_drift(comparison, at_most=0.01)
"""
PLAIN = """\
import json, pathlib, pytest

IDS, FAILING = json.loads((pathlib.Path(__file__).parent / "ids.json").read_text())

@pytest.mark.parametrize("x", list(range(len(IDS))), ids=IDS)
def test_it(x):
    assert x >= FAILING
"""
REPLY = "You can find it in My Orders."


def write_suite(folder: Path, probes: int, failures: int) -> None:
    """The first probes fail: their tuned replies have other letters than the base's."""
    from pytest_llmdiff.data.probes import unique_ids
    from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

    prompts = [prompt(number) for number in range(probes)]
    moved = {text: f"Thank you for asking! {text}" for text in prompts[:failures]}
    files = {
        "probes.jsonl": "".join(json.dumps({"prompt": text}) + "\n" for text in prompts),
        "test_ours.py": OURS,
        "test_plain.py": PLAIN,
        "scorers.py": SCORERS,
        "pytest.toml": CONFIG,
        "base.json": json.dumps({"default": REPLY}),
        "tuned.json": json.dumps({"default": REPLY, "replies": moved}),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = unique_ids(probes_of_marker((), {"file": "probes.jsonl"}, folder=folder))
    ids = [[probe.id for probe in found], failures]
    (folder / "ids.json").write_text(json.dumps(ids), encoding="utf-8")


def seconds(folder: Path, failures: int, *args: str) -> float:
    """CPU-seconds of a pytest process with so many failures, from an empty store."""
    store = tempfile.mkdtemp(dir=folder)
    command, environment = command_of(folder, [*args, f"--llmdiff-store={store}"])
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 1 or f"{failures} failed" not in text:
        raise SystemExit(f"{' '.join(command)} did not fail as often:\n{text[-4000:]}")
    return usage.ru_utime + usage.ru_stime


def in_turns(folder: Path, failures: int, sides: Sequence[Sequence[str]]) -> list[float]:
    return [seconds(folder, failures, *args) for args in sides]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--probes", type=int, default=20_000)
    parser.add_argument("--failures", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    sides = (
        ("test_ours.py", "--llmdiff-json=report.json", *MODELS),
        ("test_plain.py",),
        ("test_plain.py", "--tb=line"),
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "suite"
        folder.mkdir()
        write_suite(folder, options.probes, options.failures)
        found = [in_turns(folder, options.failures, sides) for _ in range(options.rounds)]
    print("| round | plugin | pytest alone | ratio | pytest --tb=line |\n|---|---|---|---|---|")
    for number, (ours, plain, line) in enumerate(found, 1):
        print(f"| {number} | {ours:.1f} s | {plain:.1f} s | {ours / plain:.3f} | {line:.1f} s |")
    spent = [statistics.median(each) for each in zip(*found, strict=True)]
    names = ("plugin_cpu_seconds", "pytest_cpu_seconds", "pytest_line_cpu_seconds")
    figures = {
        "probes": options.probes,
        "failures": options.failures,
        **{name: round(seconds, 2) for name, seconds in zip(names, spent, strict=True)},
        "load_vs_pytest": round(statistics.median(ours / plain for ours, plain, _ in found), 3),
    }
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
