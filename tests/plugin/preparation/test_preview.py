"""The plan of a run, which asks the models nothing."""

from __future__ import annotations

import pytest

from tests.support.projects import Run
from tests.support.sets import write

SUITE = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_one(comparison):
    assert_semantic_drift(comparison, at_most=1)

@pytest.mark.llmdiff("question 1", "question 2", file="probes.jsonl")
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=1)
"""


def test_requests_from_the_store_and_fresh(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    run("--llmdiff-plan").stdout.fnmatch_lines(
        ["  base   0 from the store, 60 to answer, in an unknown time: neither model has run *"]
    )
    run("-k", "question-1").assert_outcomes(passed=11)  # question 1 and 10 to 19
    result = run("--llmdiff-plan")
    result.stdout.fnmatch_lines(
        [
            "plan: 60 requests to each model",  # the probes of both tests are the same
            "  base   11 from the store, 49 to answer, about * s",
            "  tuned  11 from the store, 49 to answer, about * s",
            "  test_suite.py::test_set: 62 probes, 60 questions",
            "    what it can detect is unknown without a baseline that has this test",
        ]
    )
    result.stdout.no_fnmatch_line("*test_one: *")  # no set
    result.stdout.no_fnmatch_line("*<Function*")  # the plan, not a list of the tests
    result.stdout.fnmatch_lines(["*61 tests collected in *"])
    assert result.ret == 0
    result.assert_outcomes()  # none ran
    run("--llmdiff-plan").stdout.fnmatch_lines(["  base   11 from the store, 49 to answer, *"])


def test_a_plan_set_in_ini_runs_nothing_either(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    result = run("-o", "llmdiff_plan=true")
    result.stdout.fnmatch_lines(["plan: 60 requests to each model"])
    result.assert_outcomes()
    run("-o", "llmdiff_plan=no").assert_outcomes(passed=61)
    result = run("-o", "llmdiff_plan=perhaps")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: llmdiff: llmdiff_plan in ini: 'perhaps' is not true or *"])


def test_without_a_plan_pytest_lists_the_tests(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    run("--collect-only").stdout.fnmatch_lines(["*<Function test_set>"])


def test_only_what_is_selected_is_planned(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    result = run("--llmdiff-plan", "-k", "question-59")
    result.stdout.fnmatch_lines(["plan: 1 request to each model"])
    result.stdout.no_fnmatch_line("*test_set*")


def test_what_a_set_can_detect(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    (project.path / "engines.py").write_text(
        """
from pytest_llmdiff import Generated, Reply

class Noisy:
    asked = 0
    def fingerprint(self): return "noisy"
    def render(self, messages): return [1]
    def close(self): pass
    def generate(self, requests):
        Noisy.asked += 1
        for index, _ in enumerate(requests):
            text = "refund " * 5 + "zebra " * ((index + Noisy.asked) % 4)
            yield index, Generated(reply=Reply(text=text), prompt_ids=(1,))
""",
        encoding="utf-8",
    )
    project.makepyfile(test_suite=SUITE)
    noisy = ("--llm-base=python:engines:Noisy", "--llm-tuned=python:engines:Noisy")
    project.runpytest_inprocess(*noisy, "--llmdiff-calibrate=b.json").assert_outcomes(passed=61)
    result = run("--llmdiff-plan", "--llmdiff-baseline=b.json")
    result.stdout.fnmatch_lines_random(
        ["    semantic drift: detects a rise of 0.* (with a power of 80 %)"]
    )


def test_a_baseline_without_noise_cannot_say_what_a_set_detects(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    run("--llmdiff-calibrate=b.json").assert_outcomes(passed=61)
    run("--llmdiff-plan", "--llmdiff-baseline=b.json").stdout.fnmatch_lines(
        ["    semantic drift: what it can detect is unknown: all values in the baseline *"]
    )


def test_a_plan_needs_models(project: pytest.Pytester) -> None:
    project.makepyfile("")
    result = project.runpytest_inprocess("--llmdiff-plan")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--llmdiff-plan: give --llm-base SPEC --llm-tuned SPEC*"])
