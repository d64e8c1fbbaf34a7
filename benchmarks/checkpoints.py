"""What more adapters cost in one run: three adapters beside one, in CPU-seconds of all processes.

    python -m benchmarks.checkpoints --probes 16 --json checkpoints.json

A suite of short prompts that asks for replies and the divergence, on the small chat model. Both
runs begin with a store that holds the base's weights as they are loaded, and nothing else. `more`
is what each further adapter costs, as a share of the run with the base and one.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inputs import ADAPTER, FILE, PACKAGE, prompts, scale_adapter

SUITE = """
import pytest
from pytest_llmdiff import assert_divergence

@pytest.mark.llmdiff(file="probes.jsonl")
def test_set(comparisons):
    assert_divergence(comparisons, at_most=100)

@pytest.mark.llmdiff(file="probes.jsonl")
def test_each(comparison):
    assert comparison.tuned is not None
"""
BASE = f"package:{PACKAGE}/{FILE}"
GOAL = 0.9


def cpu_seconds(folder: Path, store: str, adapters: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tuned = [f"--llm-tuned={adapter}" for adapter in adapters]
    subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", f"--llm-base={BASE}", *tuned,
            f"--llmdiff-store={store}", "--llmdiff-explain=none", "--llmdiff-max-new-tokens=32",
            "--llmdiff-inconclusive=pass",
        ],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, count: int) -> dict[str, float]:
    rows = [json.dumps({"prompt": text}) for text in prompts()[:count]]
    (folder / "probes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "test_checkpoints.py").write_text(SUITE, encoding="utf-8")
    for number in (1, 2, 3):
        scale_adapter(ADAPTER, folder / f"checkpoint-{number}", 1 / number)
    cpu_seconds(folder, "expanded", ["checkpoint-1"])  # expands the weights
    found = {}
    for adapters in (1, 3):
        store = folder / f"of-{adapters}"
        store.mkdir()
        (store / "converted").symlink_to(folder / "expanded" / "converted")
        names = [f"checkpoint-{number}" for number in range(1, adapters + 1)]
        found[f"adapters_{adapters}"] = cpu_seconds(folder, store.name, names)
        shutil.rmtree(store)
    more = (found["adapters_3"] - found["adapters_1"]) / 2
    return found | {"more": more / found["adapters_1"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place), given.probes)
    print(
        f"one adapter {found['adapters_1']:.0f} CPU-s, three {found['adapters_3']:.0f} CPU-s: each "
        f"further one costs {found['more']:.2f} of base and one adapter (goal: at most {GOAL})"
    )
    if given.json is not None:
        given.json.write_text(json.dumps(found | {"probes": given.probes}), encoding="utf-8")


if __name__ == "__main__":
    main()
