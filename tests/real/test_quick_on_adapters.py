"""`check` on real adapters: it lets the good one through, and says what is wrong with others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
# Factors on the adapter's update: none of it is left, and so much that no weight counts beside it.
NO_OP, COLLAPSED = 0.0, 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """An empty project, with the base at hand and two adapters made of the good one."""
    found = tmp_path_factory.mktemp("quick")
    expanded.into(found / ".llmdiff")
    (found / "pytest.toml").write_text('[pytest]\nfilterwarnings = ["error"]\n', encoding="utf-8")
    for name, factor in (("no-op", NO_OP), ("collapsed", COLLAPSED)):
        scaled(ADAPTERS / "good", found / name, factor)
    return found


def scaled(source: Path, target: Path, factor: float) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    file = target / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({k: t * factor if "lora_B" in k else t for k, t in tensors.items()}, file)


def check(folder: Path, adapter: Path | str) -> tuple[str, dict[str, Any]]:
    """The terminal's text, and the answer of the JSON report."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest_llmdiff", "check", str(adapter), f"--llm-base={BASE}",
         "--llmdiff-json=report.json"],
        cwd=folder, check=False, text=True, capture_output=True,
    )  # fmt: skip
    text = found.stdout + found.stderr
    answer = json.loads((folder / "report.json").read_text(encoding="utf-8"))["answer"]
    assert found.returncode == (0 if answer["decision"] == "merge" else 1), text
    assert text.rstrip().endswith("report: llmdiff.html"), text
    return text, answer


def test_a_good_adapter_may_be_merged(folder: Path) -> None:
    text, answer = check(folder, ADAPTERS / "good")
    assert answer["decision"] == "merge", text
    assert answer["causes"] == []


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        ("no-op", "changes nothing"),
        ("collapsed", "replies are degenerate"),
        (ADAPTERS / "rude", "replies are toxic"),
    ],
    ids=["no-op", "collapsed", "rude"],
)
def test_a_bad_one_may_not(folder: Path, adapter: Path | str, says: str) -> None:
    text, answer = check(folder, adapter)
    assert answer["decision"] == "do_not_merge", text
    assert says in " ".join(cause["text"] for cause in answer["causes"]), text
