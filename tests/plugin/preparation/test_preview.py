"""The plan of a run, which asks the models nothing."""

from __future__ import annotations

import pytest

from pytest_llmdiff.verdicts.power import labels_needed
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
            "  test_suite.py::test_set: 62 probes, 60 questions; it shows, with a power of 80 %:",
            "    a rate, or a mean from 0 to 1: 0.16 beyond a limit at worst, 0.097 beyond *",
            "    a change of a rate: 0.32 if every outcome flips, 0.07 if none moves the other way",
            "    a mean without an end: 0.37 standard deviations",
            "    if nothing happens: a rate below 0.049, a loss below 0.051",
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
        ["    semantic drift: a change of 0.*, by the spread of the baseline"]
    )


def test_a_baseline_without_noise_cannot_say_what_a_set_detects(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    run("--llmdiff-calibrate=b.json").assert_outcomes(passed=61)
    run("--llmdiff-plan", "--llmdiff-baseline=b.json").stdout.fnmatch_lines(
        ["    semantic drift: unknown, since all values are equal, by the spread of the baseline"]
    )


def test_the_last_report_tells_what_the_next_run_can_show(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    run("--llmdiff-json=last.json").assert_outcomes(passed=61)
    before = (project.path / "last.json").read_bytes()
    run("--llmdiff-plan", "--llmdiff-json=last.json").stdout.fnmatch_lines(
        ["    semantic drift: a change of 0.*, by the spread of the last run (last.json)"]
    )
    assert (project.path / "last.json").read_bytes() == before
    (project.path / "last.json").write_text("{}", encoding="utf-8")
    result = run("--llmdiff-plan", "--llmdiff-json=last.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  the last run's report was not used: *last.json is not a rep*"])
    result.stdout.no_fnmatch_line("    semantic drift: *")


def test_how_many_labels_a_judge_needs(project: pytest.Pytester, run: Run) -> None:
    write(project, every=3)
    project.makepyfile(test_suite=SUITE)
    (project.path / "probes.jsonl").write_text(
        "".join(f'{{"prompt": "question {n}"}}\n' for n in range(300)), encoding="utf-8"
    )
    judged = "--llmdiff-judge=python:engines:Judge"
    (project.path / "engines.py").write_text(
        "class Judge:\n    fingerprint = generate = render = close = lambda *_: None",
        encoding="utf-8",
    )
    run("--llmdiff-plan", judged).stdout.fnmatch_lines(
        [
            "    labels of each model for a judge that errs on 5% of the replies: * of ±0.1",
            "    labels of each model for a judge that guesses: "
            f"{labels_needed(0.05, 300, 0.5)} for an interval of ±0.05, "
            f"{labels_needed(0.1, 300, 0.5)} for an interval of ±0.1",
        ]
    )


def test_a_plan_needs_models(project: pytest.Pytester) -> None:
    project.makepyfile("")
    result = project.runpytest_inprocess("--llmdiff-plan")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--llmdiff-plan: give --llm-base SPEC --llm-tuned SPEC*"])
