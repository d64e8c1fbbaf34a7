"""Fixtures for behaviour tests: a scripted pair of models, and runs plain and under xdist."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.projects import EMBEDDER, NATIVE_TOML, Launch, Process, Run, write_models

# Wall-clock limits on examples fail on a busy machine and find nothing. A gate tries the same
# examples each time; new ones are looked for by `make search`.
settings.register_profile(
    "steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile(
    "search", settings.get_profile("steady"), derandomize=False, max_examples=5000, print_blob=True
)
settings.load_profile("steady")

# Set before anything imports transformers: nothing may be looked up on a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# pytester gives each test a home of its own, and real models share a store among tests.
os.environ["LLMDIFF_STORE_KEY"] = "the key of the tests' stores"
# Runs inside the tests are not those that a workflow of GitHub is to tell of; and where CI is set,
# pytest's summary repeats a failure's whole text.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CI", "BUILD_NUMBER"):
    os.environ.pop(name, None)

if TYPE_CHECKING:
    from tests.support.expanded import Expanded


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out repetitions, and hand out files with real models first: the run would wait for one
    that starts last."""
    one_of_each_under_xdist(config, items)
    if hasattr(config, "workerinput"):
        size = Counter(item.path for item in items)
        real = {item.path for item in items if "expanded" in getattr(item, "fixturenames", ())}
        items.sort(key=lambda item: (item.path not in real, -size[item.path]))


def one_of_each_under_xdist(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test with many cases, the first runs under xdist too, unless others are named: what
    differs between processes does not depend on the case."""
    if any("[" in argument for argument in config.args) or config.getoption("keyword"):
        return
    seen: set[str] = set()
    left, kept = [], []
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        test = item.nodeid.partition("[")[0]
        if params.get("mode") == "-n2" and test in seen:
            left.append(item)
        else:
            kept.append(item)
        seen |= {test} if params.get("mode") == "-n2" else set()
    items[:] = kept
    if left:
        config.hook.pytest_deselected(items=left)


class LoadedModules:
    """A plugin that notes at the end of a run which modules are loaded, but those of the project.

    Most runs inside the tests share this process, since starting Python and importing packages
    takes longer than such a run. pytester forgets the modules that a run was the first to import,
    after the run and again after the test; numpy, torch and others cannot be loaded a second time.
    """

    def __init__(self) -> None:
        self.project = ""
        self.modules: dict[str, ModuleType] = {}

    def pytest_unconfigure(self) -> None:
        held: dict[str, ModuleType | None] = {**sys.modules}
        for name, module in held.items():
            # Texts: a Path for each of thousands of modules would take as long as a short run.
            file = getattr(module, "__file__", None)
            if module is None:  # a test does as if it were not installed
                continue
            if file is None or not str(file).startswith(self.project):
                self.modules[name] = module


@pytest.fixture(autouse=True)
def loaded() -> Iterator[LoadedModules]:
    """Set up ahead of pytester, so that it has the last word."""
    loaded = LoadedModules()
    yield loaded
    sys.modules.update(loaded.modules)


@pytest.fixture
def pytester(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, loaded: LoadedModules
) -> pytest.Pytester:
    """Its runs do without the plugins of other packages: these take a third of a run's start."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:anyio -p no:hypothesispytest")
    loaded.project = f"{pytester.path}{os.sep}"
    run = pytester.runpytest_inprocess

    def keeping_modules(*args: str) -> pytest.RunResult:
        result = run(*args, plugins=[loaded])
        sys.modules.update(loaded.modules)
        return result

    monkeypatch.setattr(pytester, "runpytest_inprocess", keeping_modules)
    return pytester


@pytest.fixture(params=["plain", pytest.param("-n2", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest) -> list[str]:
    """Options of a run: once in one process and once with two xdist workers."""
    return [] if request.param == "plain" else ["-n2"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's project with two scripted models and scorers that need no package."""
    write_models(pytester.path)
    (pytester.path / "scorers.py").write_text(EMBEDDER, encoding="utf-8")
    if NATIVE_TOML:
        pytester.makefile(
            ".toml",
            pytest="""
            [pytest]
            strict = true
            pythonpath = ["."]
            filterwarnings = ["error"]
            llmdiff_embedder = "python:scorers:Letters"
            llmdiff_toxicity = "python:scorers:rude"
            """,
        )
    else:
        pytester.makefile(
            ".ini",
            pytest="""
            [pytest]
            pythonpath = .
            filterwarnings = error
            llmdiff_embedder = python:scorers:Letters
            llmdiff_toxicity = python:scorers:rude
            """,
        )
    return pytester


@pytest.fixture
def run(project: pytest.Pytester, mode: list[str]) -> Run:
    """Run the project's tests with its models, in both modes."""

    def start(*args: str) -> pytest.RunResult:
        given = {arg.partition("=")[0] for arg in args}
        ours = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
        models = [model for model in ours if model.partition("=")[0] not in given]
        return project.runpytest_inprocess(*models, *mode, *args)

    return start


@pytest.fixture(scope="session")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Expanded:
    """The real base, expanded once for all workers."""
    from tests.support.expanded import Expanded

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    found = Expanded(folder=folder / "expanded")
    found.make()
    return found


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start Python processes: code and arguments; none outlives the test."""
    running: list[Process] = []

    def start(code: str, *args: object) -> Process:
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *map(str, args)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=30)
