"""A user's project with two scripted models, its runs, and what they leave behind."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.faults.warm import PATIENCE, Warm
from tests.support import ROOT

PROBES = 16
MODELS = """
import time
from pathlib import Path
from pytest_llmdiff import ScriptedEngine

QUESTIONS = [f"Question {n}: where is my order?" for n in range(16)]

class Model(ScriptedEngine):
    '''A model that takes 5 ms for a reply, so that a fault may come between two of them.'''

    def generate(self, requests):
        Path("generating").touch()
        for each in super().generate(requests):
            time.sleep(0.005)
            yield each

base = Model({}, default="It is on its way to you.")
tuned = Model(
    {q: "I'm sorry, but I can't help with that." for q in QUESTIONS[::5]},
    default="It is on its way to you!",
    divergences={q: 0.02 * n for n, q in enumerate(QUESTIONS)},
)

class Letters:
    def encode(self, texts):
        return [[t.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]
"""
# Some pass, some fail, some are undecided.
TESTS = """
import pytest
from pytest_llmdiff import assert_divergence, assert_refusal, assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_each(comparison):
    assert_refusal(comparison, gained_at_most=0)
    assert_semantic_drift(comparison, at_most=0.2)

@pytest.mark.llmdiff(file="probes.jsonl")
def test_all(comparisons):
    assert_divergence(comparisons, at_most=0.25)
"""
# For a calibration, whose tests have no limits.
UNLIMITED = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_each(comparison):
    assert_semantic_drift(comparison)
"""
PAIR = ("--llm-base=python:models:base", "--llm-tuned=python:models:tuned")
# What each command writes, by the name of its file.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "judge": (
        "test_it.py", *PAIR, "--llmdiff-json=run.json", "--llmdiff-html=run.html",
        "--llmdiff-markdown=run.md", "--llmdiff-record=run.jsonl", "--llmdiff-export=moved",
    ),
    "accept": (
        "test_it.py", *PAIR, "--llmdiff-accept", "--llmdiff-accepted=accepted.yaml",
        "--llmdiff-json=run.json",
    ),
    "calibrate": (
        "test_unlimited.py", PAIR[0], "--llmdiff-calibrate=baseline.json",
        "--llmdiff-json=run.json",
    ),
}  # fmt: skip
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "judge": ("run.json", "run.html", "run.md", "run.jsonl"),
    "accept": ("accepted.yaml", "run.json"),
    "calibrate": ("baseline.json", "run.json"),
}
# Verdicts by test, and the exit code.
Verdicts = tuple[int, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended: None for an exit code means that it did not."""

    code: int | None
    said: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Project:
    folder: Path

    def write(self) -> None:
        (self.folder / "models.py").write_text(MODELS, encoding="utf-8")
        (self.folder / "test_it.py").write_text(TESTS, encoding="utf-8")
        (self.folder / "test_unlimited.py").write_text(UNLIMITED, encoding="utf-8")
        questions = [f"Question {n}: where is my order?" for n in range(PROBES)]
        lines = [json.dumps({"prompt": text, "cluster": text}) + "\n" for text in questions]
        (self.folder / "probes.jsonl").write_text("".join(lines), encoding="utf-8")
        (self.folder / "pytest.ini").write_text(
            "[pytest]\npythonpath = .\nllmdiff_embedder = python:models:Letters\n",
            encoding="utf-8",
        )

    @property
    def store(self) -> Path:
        return self.folder / ".llmdiff" / "store.sqlite3"

    def file(self, name: str) -> Path:
        return self.folder / name

    def start(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        """A run as the leader of its own process group. What it says goes to `said.txt`."""
        with (self.folder / "said.txt").open("wb") as said:
            ends: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
                cwd=self.folder,
                env=own_environment(),
                start_new_session=True,
                **ends | options,
            )

    def wait(self, run: Run) -> Ended:
        """The end of a run, and of all its processes."""
        begin, code = time.monotonic(), None
        with suppress(subprocess.TimeoutExpired):
            code = run.wait(PATIENCE)
        end_group(run)
        said = (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        return Ended(code=code, said=said, seconds=time.monotonic() - begin)

    def run(self, *args: str, **options: Any) -> Ended:
        return self.wait(self.start(*args, **options))

    def start_warm(self, *args: str, environment: Mapping[str, str] | None = None) -> Warm:
        """A run in a fork of this process, which has imported what it needs (`warm_up`): importing
        takes longer than the run."""
        pid = os.fork()
        if pid:
            return Warm(pid)
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.environ.clear()
            os.environ.update({**own_environment(), **(environment or {})})
            code = int(pytest.main(["-q", "-p", "no:cacheprovider", *args]))
            Path("modules.txt").write_text("\n".join(sys.modules), encoding="utf-8")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def warm_up(self) -> None:
        """Import in this process whatever a run of each command imports."""
        if "pytest_llmdiff.plugin.closing.outputs" in sys.modules:
            return
        for command in COMMANDS.values():
            self.wait(self.start_warm(*command))
            for name in (self.folder / "modules.txt").read_text(encoding="utf-8").splitlines():
                if name.partition(".")[0] not in (
                    "models",
                    "test_it",
                    "test_unlimited",
                    "__main__",
                ):
                    with suppress(ImportError):
                        importlib.import_module(name)

    def run_warm(self, *args: str, environment: Mapping[str, str] | None = None) -> Ended:
        return self.wait(self.start_warm(*args, environment=environment))

    def restore(self, contents: Mapping[str, bytes | None]) -> None:
        for name, content in contents.items():
            self.file(name).unlink(missing_ok=True)
            if content is not None:
                self.file(name).write_bytes(content)

    def forget(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.folder / ".llmdiff", ignore_errors=True)

    def verdicts(self) -> Verdicts:
        """What the JSON report says.

        Raises:
            ValueError, KeyError, OSError: there is none, or it is not whole.
        """
        report = json.loads(self.file("run.json").read_text(encoding="utf-8"))
        return report["exit_code"], {
            test["test"]: (
                test["outcome"],
                [(v["name"], v["value"], v["limit"], v["outcome"]) for v in test["verdicts"]],
            )
            for test in report["tests"]
        }

    def contents(self, names: Iterable[str]) -> dict[str, bytes | None]:
        return {
            name: self.file(name).read_bytes() if self.file(name).exists() else None
            for name in names
        }

    def not_whole(self, name: str) -> str | None:
        """Why a file that a run wrote is not a whole one, or None."""
        return fault_in(name, self.file(name).read_bytes())


def fault_in(name: str, data: bytes) -> str | None:
    """Why the content of a file of this name is not a whole one, or None."""
    text = data.decode(errors="replace")
    try:
        _parse(name, text)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        return f"{name}, {len(text)} characters: {error}"[:200]
    return None


def _parse(name: str, text: str) -> None:
    kind = Path(name).suffix
    if kind == ".jsonl":
        if not text.endswith("\n"):
            raise ValueError("the last line has no end")
        for line in text.splitlines():
            json.loads(line)
    elif kind == ".json":
        json.loads(text)
    elif kind == ".yaml":
        if not all("values" in entry for entry in yaml.safe_load(text)):
            raise ValueError("an entry is cut short")
    elif kind == ".html":
        if not text.rstrip().endswith("</html>"):
            raise ValueError("the page has no end")
    elif not text.endswith("\n"):
        raise ValueError("the last line has no end")


def own_environment() -> dict[str, str]:
    """Of a user: this package and no other plugins, no CI, no colours."""
    mine = ("PYTHON", "PYTEST", "GITHUB_", "LLMDIFF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    for name in ("CI", "BUILD_NUMBER"):
        kept.pop(name, None)
    plugins = "-p no:anyio -p no:hypothesispytest"
    return kept | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": plugins, "HF_HUB_OFFLINE": "1"}


Run = subprocess.Popen[bytes] | Warm


def end_group(run: Run) -> None:
    """Kill a run and every process that it started."""
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


@contextmanager
def new_project() -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        project = Project(folder=Path(folder))
        project.write()
        yield project
