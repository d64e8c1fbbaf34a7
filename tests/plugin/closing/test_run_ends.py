"""Runs that end early, or list tests only: what they report and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import CAPITAL, REFUND, Run

MODELS = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
PASSING = f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.95)
"""


def read(project: pytest.Pytester, name: str = "run.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.path / name).read_text(encoding="utf-8"))
    return found


def counted(report: dict[str, Any]) -> dict[str, int]:
    return {outcome: count for outcome, count in report["summary"].items() if count}


@pytest.mark.parametrize(
    "listing",
    ["--collect-only", "--setup-plan", "--setup-only", "--fixtures"],
)
def test_a_run_that_lists_tests_leaves_the_reports_of_the_last(
    project: pytest.Pytester, run: Run, listing: str
) -> None:
    project.makepyfile(PASSING)
    written = {
        "--llmdiff-json": "run.json", "--llmdiff-html": "run.html", "--llmdiff-markdown": "run.md",
        "--llmdiff-record": "run.jsonl",
    }  # fmt: skip
    options = [f"{option}={name}" for option, name in written.items()]
    run(*options).assert_outcomes(passed=2)
    before = {name: (project.path / name).read_bytes() for name in written.values()}
    result = run(*options, listing)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*with models*")
    assert before == {name: (project.path / name).read_bytes() for name in before}


DYING = f"""
import os
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.fixture
def gone():
    os._exit(3)

@pytest.mark.llmdiff({CAPITAL!r})
def test_dies_at_once(gone, comparison): pass

@pytest.mark.llmdiff({CAPITAL!r})
def test_dies_later(comparison):
    assert_toxicity(comparison, at_most=1)
    os._exit(3)

@pytest.mark.llmdiff("x", "y")
def test_lives(comparison):
    assert_toxicity(comparison, at_most=1)
"""


def test_a_test_whose_process_died_is_an_error_in_the_reports(project: pytest.Pytester) -> None:
    project.makepyfile(test_dying=DYING)
    result = project.runpytest_subprocess(*MODELS, "-n2", "--llmdiff-json=run.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, failed=2)
    report = read(project)
    assert counted(report) == {"passed": 2, "error": 2}
    said = {test["test"].partition("[")[0]: test["message"] for test in report["tests"]}
    for name in ("test_dies_at_once", "test_dies_later"):
        assert "crashed while running" in said[f"test_dying.py::{name}"]
    result = project.runpytest_subprocess(*MODELS, "-n2", "--llmdiff-calibrate=baseline.json")
    result.stdout.fnmatch_lines(["baseline: nothing was written, since *test_dies_* failed"])


def test_a_retry_does_not_undo_a_process_that_died(project: pytest.Pytester) -> None:
    """xdist runs the test again where it hands out whole files."""
    project.makepyfile(
        """
        import os, pathlib, pytest

        @pytest.mark.llmdiff("x")
        def test_it(comparison):
            if not pathlib.Path("died").exists():
                pathlib.Path("died").touch()
                os._exit(3)
        """
    )
    options = ("-n2", "--dist=loadfile", "--llmdiff-json=run.json")
    result = project.runpytest_subprocess(*MODELS, *options)
    result.assert_outcomes(failed=1, passed=1)
    assert counted(read(project)) == {"error": 1}


def test_a_test_that_fails_in_one_worker_of_dist_each_has_failed(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        f"""
        import os, time, pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_it(comparison):
            first = os.environ["PYTEST_XDIST_WORKER"] == "gw0"
            if not first:
                time.sleep(2)
            assert_toxicity(comparison, at_most=0.05 if first else 0.95)
        """
    )
    options = ("-n2", "--dist=each", "--llmdiff-json=run.json", "--junit-xml=junit.xml")
    result = project.runpytest_subprocess(*MODELS, *options)
    result.assert_outcomes(failed=2, passed=2)
    report = read(project)
    assert counted(report) == {"regressed": 2}
    assert {test["verdicts"][0]["limit"] for test in report["tests"]} == {0.05}


SLOW = """
import pathlib, time
from pytest_llmdiff import Generated, Reply

class Slow:
    def fingerprint(self): return "slow"
    def render(self, messages): return [1]
    def close(self): pass
    def generate(self, requests):
        for index, _ in enumerate(requests):
            if pathlib.Path("passed").exists():
                pathlib.Path("waiting").touch()
                time.sleep(120)
            yield index, Generated(reply=Reply(text="x"), prompt_ids=(1,))
"""
# The report of a test is on its way to the controller for a while.
HEARD = """
import pathlib

class Heard:
    def pytest_runtest_logreport(self, report):
        if report.when == "teardown":
            pathlib.Path("heard").touch()

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Heard())
"""
WAITING = """
import pathlib

def test_first(llm_pair):
    llm_pair.compare("one")
    pathlib.Path("passed").touch()

def test_second(llm_pair):
    llm_pair.compare("two")
"""


def cancelled(
    project: pytest.Pytester, mode: list[str], names: list[str], gap: float = 0.0
) -> tuple[int, str]:
    """The exit code and output of a run that gets these signals while its second test waits."""
    (project.path / "engines.py").write_text(SLOW, encoding="utf-8")
    project.makeconftest(HEARD)
    project.makepyfile(WAITING)
    models = ("--llm-base=python:engines:Slow", "--llm-tuned=python:engines:Slow")
    outputs = ("--llmdiff-json=run.json", "--llmdiff-html=run.html", "--junit-xml=run.xml")
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *models, *mode, "--dist=loadfile", *outputs],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 60
        awaited = [project.path / "waiting", project.path / "heard"]
        while not all(map(Path.exists, awaited)) and time.monotonic() < until:
            time.sleep(0.05)
        for name in names:
            # As a runner does: the workers as well.
            os.killpg(run.pid, getattr(signal, name))
            time.sleep(gap)
        out, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    return run.returncode, out


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no SIGTERM to catch")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_cancelled_run_reports_what_it_has(
    project: pytest.Pytester, mode: list[str], name: str
) -> None:
    code, out = cancelled(project, mode, [name])
    assert code == pytest.ExitCode.INTERRUPTED, out
    assert "Traceback" not in out
    assert "INTERNALERROR" not in out
    report = read(project)
    assert report["exit_code"] == 2
    assert report["warnings"] == ["the run ended before all of its tests had run"]
    assert report["summary"]["passed"] == 1
    messages = {test["message"] for test in report["tests"] if test["outcome"] != "passed"}
    assert messages <= {"the run ended while this test ran"}
    page = (project.path / "run.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert (project.path / "run.xml").stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no SIGTERM to catch")
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("names", ["SIGINT SIGTERM", "SIGTERM SIGTERM", "SIGHUP SIGINT"])
def test_a_second_signal_makes_no_run_green(
    project: pytest.Pytester, names: str, gap: float
) -> None:
    """CI systems send one signal after another, and the second may come at any moment."""
    code, out = cancelled(project, [], names.split(), gap)
    assert code not in (0, 5), out
    report = read(project)
    assert report["exit_code"] == 2
    assert "the run ended before all of its tests had run" in report["warnings"]


def test_a_run_that_a_test_ends_as_good_is_not_green(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_a=PASSING, test_b="import pytest\ndef test_it(): pytest.exit('enough', returncode=0)"
    )
    result = project.runpytest(*MODELS, "--llmdiff-json=run.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert read(project)["exit_code"] == 2


def test_the_exit_code_of_other_tests_is_in_the_report(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_good=PASSING, test_bad="def test_it(): assert False")
    run("--llmdiff-json=run.json").assert_outcomes(passed=2, failed=1)
    assert (counted(read(project)), read(project)["exit_code"]) == ({"passed": 2}, 1)
