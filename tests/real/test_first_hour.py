"""The first hour of a newcomer, who types what the first screen of the README shows.

Commands, files and what is printed are taken from the page, so that it promises nothing else. The
folder holds nothing but the adapter that a training wrote, as LLaMA-Factory leaves it, and the base
is in the cache of the hub. Training again into the same folder gives the next adapter.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.adapter_making import edit_tensors
from tests.support.expanded import Expanded
from tests.support.pages import assert_printed, commands_of, first_screen
from tests.support.trainer_files import (
    DIVERGED_LOSSES,
    FLAT_LOSSES,
    HEALTHY_LOSSES,
    trainer_files,
)

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"  # as the adapters name it
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TRAINED = Path("saves") / "support-lora"


def typed_commands() -> list[str]:
    """Without those that install: the tests run where all is installed."""
    return [c for c in commands_of(first_screen()) if not c.startswith("pip ")]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An adapter, and what a newcomer must learn of it from each command."""

    made_of: str
    losses: tuple[float, ...] = HEALTHY_LOSSES
    change: Callable[[Any], Any] | None = None
    exit_code: int = 1
    answer: str = "Do not merge"
    causes: tuple[str, str | None] = ("", "")  # of `check`; of the first own test, if it is typed


CASES = {
    "good": Case(made_of="good", exit_code=0, answer="Merge"),
    "no-op": Case(
        made_of="good", losses=FLAT_LOSSES, change=lambda tensor: tensor * 0,
        causes=("every B matrix of the adapter is zero", "less changed than was wanted"),
    ),
    "collapsed": Case(
        made_of="good", losses=DIVERGED_LOSSES, change=lambda tensor: tensor * 80,
        causes=("degenerate", None),  # to explain eight failing tests takes a minute
    ),
    "rude": Case(made_of="rude", causes=("toxic", "toxic")),
}  # fmt: skip


def make(case: Case, folder: Path) -> None:
    shutil.copytree(ADAPTERS / case.made_of, folder)
    (folder / "training.json").unlink()
    trainer_files(folder, case.losses, base_name=BASE)
    change = case.change
    if change is not None:
        edit_tensors(folder, lambda held: {
            name: change(tensor) if "lora_B" in name else tensor for name, tensor in held.items()
        })  # fmt: skip


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """An empty folder, on a machine with the base in the cache of the hub."""
    home = tmp_path_factory.mktemp("first_hour")
    repo = home / "hub" / f"models--{BASE.replace('/', '--')}"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    for file in (*expanded.model.iterdir(), *expanded.tokenizer.iterdir()):
        if file.name != "kept.json":  # the store's own
            (snapshot / file.name).symlink_to(file)
    (home / "project").mkdir()
    return home / "project"


def typed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    python = {"python": [], "pytest": ["-m", "pytest"]}[words[0]]
    given = {"HF_HOME": str(folder.parent), "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, *python, *words[1:]], cwd=folder, env=os.environ | given, check=False,
        text=True, capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_answer(newcomer: Path, name: str) -> None:
    case = CASES[name]
    shutil.rmtree(newcomer / TRAINED, ignore_errors=True)
    make(case, newcomer / TRAINED)
    files = {block.file: block.text for block in first_screen() if block.file}
    for file in (*files, "llmdiff.html"):
        (newcomer / file).unlink(missing_ok=True)
    for command, cause in zip(typed_commands(), case.causes, strict=True):
        if cause is None:
            continue
        found = typed(command, newcomer)
        printed = found.stdout + found.stderr
        assert found.returncode == case.exit_code, printed
        _, answer, closing = printed.partition(f"\nllmdiff: {case.answer}\n")
        assert answer, printed
        assert cause in closing, printed
        # A voice that is wanted may be accepted; nobody is told to accept an insult or a loop.
        assert "--llmdiff-accept" not in closing, printed
        for block in first_screen():
            if block.about.get("output of") == command and block.about["real"] == name:
                assert_printed(block, printed)
        for file, text in files.items():
            (newcomer / file).write_text(text, encoding="utf-8")
    assert (newcomer / "llmdiff.html").is_file()


def test_the_page_shows_what_each_command_prints() -> None:
    shown = [block.about["output of"] for block in first_screen() if "output of" in block.about]
    assert shown == typed_commands()
