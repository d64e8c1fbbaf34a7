"""Several tuned models in one run: each test once for each, one base, and a ranking at the end."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.json_schema import faults
from tests.support.projects import BASE, CAPITAL, REFUND, Run
from tests.support.tiny_models import save_adapter, save_model

TESTS = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_each(comparison):
    assert_toxicity(comparison, at_most=0.5)

@pytest.mark.parametrize("n", [1, 2])
def test_pair(llm_pair, n):
    assert llm_pair.compare({CAPITAL!r}).base.text == "The capital of France is Paris."

@pytest.mark.llmdiff(*(f"Question {{n}}" for n in range(40)))
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=1.9)

def test_without_models():
    pass
"""
QUESTIONS = {f"Question {n}": f"Answer {'abcdefgh'[n % 8]} {n}" for n in range(40)}
MODELS: dict[str, dict[str, str]] = {
    "checkpoint-9": {},
    "checkpoint-80": {question: f"zzzz {answer}" for question, answer in QUESTIONS.items()},
    "checkpoint-120": {REFUND: "What a stupid question, you idiot."},
}
ORDER = [f"--llm-tuned=scripted:{name}.json" for name in MODELS]


@pytest.fixture
def several(project: pytest.Pytester) -> pytest.Pytester:
    """Three tuned models and tests with every fixture; the base notes what it is asked."""
    base = BASE["replies"] | QUESTIONS
    for name, own in MODELS.items():
        content = {"replies": base | own, "default": "I do not know."}
        (project.path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (project.path / "base.json").write_text(
        json.dumps({"replies": base, "default": "I do not know."}), encoding="utf-8"
    )
    project.makepyfile(test_models=TESTS)
    return project


def passed_in_order(result: pytest.RunResult) -> list[str]:
    return [
        line.split("::")[1].split(" ")[0] for line in result.outlines if " PASSED" in line
    ]  # fmt: skip


def test_each_test_runs_once_for_each_model(several: pytest.Pytester, run: Run) -> None:
    result = run(*ORDER, "--llmdiff-json=out.json", "--llmdiff-html=out.html",
                 "--llmdiff-markdown=out.md")  # fmt: skip
    result.assert_outcomes(passed=15, failed=1)
    report = json.loads((several.path / "out.json").read_text(encoding="utf-8"))
    assert faults(report) == []
    assert report["tuned"] == ", ".join(f"scripted:{name}.json" for name in MODELS)
    for name in MODELS:
        own = [test for test in report["tests"] if test["tuned"] == f"scripted:{name}.json"]
        assert len(own) == 5
        assert all(f"[{name}" in test["test"] for test in own)
    ranking = report["ranking"]
    assert [row["report"] for row in ranking["rows"]] == [
        "checkpoint-9", "checkpoint-80", "checkpoint-120"
    ]  # fmt: skip
    assert ranking["keep"] == "checkpoint-9"
    assert ranking["because"].startswith("semantic drift 0.")
    assert [row["front"] for row in ranking["rows"]] == [True, False, True]
    lines = result.outlines
    assert "3 tuned models, the best first; 5 tests in all of them" in lines
    kept = f"keep: checkpoint-9, because {ranking['because']}"
    assert kept in lines
    page = (several.path / "out.html").read_text(encoding="utf-8")
    assert "keep: checkpoint-9, because semantic drift" in page
    assert "## keep&#58; checkpoint&#45;9" in (several.path / "out.md").read_text(encoding="utf-8")


def test_all_tests_of_a_model_come_together_in_the_order_given(several: pytest.Pytester) -> None:
    result = several.runpytest_inprocess("--llm-base=scripted:base.json", *ORDER, "-v")
    ids = passed_in_order(result)
    models = [found[1] for each in ids if (found := re.search(r"\[(checkpoint-\d+)", each))]
    assert models == sorted(models, key=list(MODELS).index)
    assert set(models) == set(MODELS)
    assert "test_set[checkpoint-9]" in ids
    assert "test_pair[checkpoint-80-2]" in ids
    assert ids[-1] == "test_without_models"


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-k", "checkpoint-80"],
         "of checkpoint-120 and checkpoint-9, no test passed or failed, *"),
        (["-k", "each", "-x"], "the run ended before all tests of all models had run*"),
    ],
)  # fmt: skip
def test_none_is_kept_where_not_all_ran(run: Run, args: list[str], said: str) -> None:
    result = run(*ORDER[1:], ORDER[0], *args)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("keep: *")


def test_the_rerun_is_that_of_the_one_model(several: pytest.Pytester, run: Run) -> None:
    result = run(*ORDER)
    (line,) = {line for line in result.outlines if line.startswith("rerun the worst: ")}
    words = shlex.split(line.partition(": ")[2])[1:]
    assert "--llm-tuned=scripted:checkpoint-120.json" in words
    assert sum(word.startswith("--llm-tuned") for word in words) == 1
    again = several.runpytest_inprocess(*words)
    again.assert_outcomes(failed=1)


ENGINE = """
import json, pathlib
from pytest_llmdiff.engines import Generated
from pytest_llmdiff.data.comparison import Reply

class Noting:
    def __init__(self, name):
        self.name = name
    def fingerprint(self):
        return self.name
    def render(self, messages):
        return [1]
    def score(self, prompt, reply):
        raise NotImplementedError
    def close(self):
        self.note("closed")
    def note(self, what):
        with open("asked.txt", "a", encoding="utf-8") as file:
            file.write(f"{self.name} {what}\\n")
    def generate(self, requests):
        for index, request in enumerate(requests):
            self.note(request.messages[-1]["content"])
            yield index, Generated(reply=Reply(text="fine", finish_reason="stop"))

base, one, two = (lambda n=n: Noting(n) for n in ("base", "one", "two"))
"""


def test_the_base_is_asked_once(several: pytest.Pytester, run: Run) -> None:
    several.makepyfile(engines=ENGINE)
    result = run(
        "--llm-base=python:engines:base", "--llm-tuned=python:engines:one",
        "--llm-tuned=python:engines:two", "-k", "each or set",
    )  # fmt: skip
    result.assert_outcomes(passed=6)
    asked = (several.path / "asked.txt").read_text(encoding="utf-8").splitlines()
    for name in ("base", "one", "two"):
        own = [line for line in asked if line.startswith(f"{name} ") and "closed" not in line]
        assert len(own) == len(set(own)) == 42


def test_one_model_changes_nothing(several: pytest.Pytester, run: Run) -> None:
    result = run(ORDER[0], "--llmdiff-json=out.json", "-v")
    result.assert_outcomes(passed=6)
    report = json.loads((several.path / "out.json").read_text(encoding="utf-8"))
    assert report["ranking"] is None
    assert {test["tuned"] for test in report["tests"]} == {None}
    assert not any("checkpoint" in test["test"] for test in report["tests"])
    assert "test_models.py::test_set" in {test["test"] for test in report["tests"]}


def test_the_command_line_replaces_what_addopts_give(
    several: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PYTEST_ADDOPTS", f"-p no:anyio -p no:hypothesispytest {ORDER[0]} {ORDER[1]}"
    )
    result = several.runpytest_inprocess("--llm-base=scripted:base.json", "-k", "set")
    result.assert_outcomes(passed=2, deselected=5 + 5 - 2 + 1)
    result = several.runpytest_inprocess("--llm-base=scripted:base.json", "-k", "set", ORDER[2])
    result.assert_outcomes(passed=1, deselected=5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--llmdiff-record=out.jsonl"], "--llmdiff-record is given with 3 tuned models"),
        (["--llmdiff-calibrate=new.yaml"], "--llmdiff-calibrate is given with 3 tuned models"),
        (["--llmdiff-accept"], "give one --llm-tuned, or leave --llmdiff-accept out"),
        (["--llmdiff-export=data"], "--llmdiff-export is given with 3"),
        (["--llm-served=scripted:tuned.json"], "--llm-served is given with 3"),
        ([ORDER[0]], "scripted:checkpoint-9.json is given twice"),
        (["--llm-tuned=none-*"], "no folder matches"),
        (["--llm-tuned="], "--llm-tuned is empty"),
    ],
)
def test_what_would_mix_models_is_a_usage_error(
    several: pytest.Pytester, options: list[str], said: str
) -> None:
    result = several.runpytest_inprocess("--llm-base=scripted:base.json", *ORDER, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said.replace('[', '[[]')}*"])


def test_a_fixture_that_is_asked_for_while_the_test_runs_mixes_nothing(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
        from pytest_llmdiff import assert_toxicity
        kept = []
        def test_dynamic(request):
            request.getfixturevalue("llm_pair")
        def test_keeping(llm_pair):
            kept.append(llm_pair.compare("Hello"))
            for comparison in kept:
                assert_toxicity(comparison, at_most=1)
        """
    )
    run("--llm-tuned=scripted:tuned.json", "--llm-tuned=scripted:base.json")
    result = run("--llm-tuned=scripted:tuned.json", "--llm-tuned=scripted:base.json")
    text = "\n".join(result.outlines)
    assert "several tuned models are given, and a fixture of theirs is requested while" in text


def test_the_plan_tells_of_each_model(several: pytest.Pytester) -> None:
    result = several.runpytest_inprocess("--llm-base=scripted:base.json", *ORDER, "--llmdiff-plan")
    result.stdout.fnmatch_lines(
        ["plan: 42 requests to each model", "  base * 42 to answer*",
         *(f"  tuned * ({name}) * 42 to answer*" for name in MODELS)]
    )  # fmt: skip


OF_ADAPTERS = """
import pytest
from pytest_llmdiff import assert_divergence

@pytest.mark.llmdiff("Hi", "What is the capital of France?", "a b c", max_new_tokens=12)
def test_near(comparisons):
    assert_divergence(comparisons, at_most=1000)

@pytest.mark.llmdiff("Hello", max_new_tokens=12)
def test_rendered(comparison, llm_tuned):
    assert comparison.tuned.token_ids
    assert len(llm_tuned.score("Hello", "fine").token_logprobs) == 4
"""


@pytest.mark.parametrize("workers", [[], pytest.param(["-n2"], marks=pytest.mark.slow)])
def test_adapters_over_one_base_in_memory_are_as_if_they_were_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    from pytest_llmdiff.engines.transformers.base_files import BaseFiles

    save_model(pytester.path / "base")
    names = [f"adapter-{seed}" for seed in (1, 2)]
    for seed, name in enumerate(names, 1):
        save_adapter(pytester.path / name, pytester.path / "base", seed=seed)
    pytester.makepyfile(test_adapters=OF_ADAPTERS)
    loads: list[Path | None] = []
    load = BaseFiles.load

    def noted(files: BaseFiles, adapter: Path | None) -> Any:
        loads.append(adapter)
        return load(files, adapter)

    monkeypatch.setattr(BaseFiles, "load", noted)

    def judged(store: str, *tuned: str) -> dict[str, list[tuple[str, object, object]]]:
        options = (f"--llmdiff-store={store}", "--llmdiff-inconclusive=pass", *workers)
        result = pytester.runpytest_inprocess(
            "--llm-base=base", *(f"--llm-tuned={name}" for name in tuned),
            "--llmdiff-json=out.json", *options,
        )  # fmt: skip
        result.assert_outcomes(passed=2 * len(tuned))
        found: dict[str, list[tuple[str, object, object]]] = {}
        report = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
        for test in report["tests"]:
            name = test["tuned"] or tuned[0]
            row = test["test"].partition("[")[0].rpartition(":")[2]
            found.setdefault(name, []).append((row, test["comparisons"], test["verdicts"]))
        return {name: sorted(rows, key=lambda row: row[0]) for name, rows in found.items()}

    alone: dict[str, list[tuple[str, object, object]]] = {}
    for name in names:
        alone |= judged(name, name)
    loads.clear()
    together = judged("together", *names)
    assert together == alone
    assert workers or len(loads) == 1
    assert len({str(rows) for rows in together.values()}) == 2


def test_a_part_that_is_not_the_same_for_all_models_chooses_none(
    several: pytest.Pytester, run: Run
) -> None:
    """Of checkpoint-120 one test failed, and `--lf` runs that one alone."""
    result = run(*ORDER)
    result.assert_outcomes(passed=15, failed=1)
    result = run(*ORDER, "--lf")
    result.stdout.no_fnmatch_line("keep: *")
    assert several.path
    result = run(*ORDER, "-k", "test_set or (test_pair and checkpoint-9)")
    result.stdout.fnmatch_lines(["checkpoint-* lacks 2 of 3 tests that another has, so none*"])
    result = run(*ORDER[:2], "-k", "test_set")
    result.stdout.fnmatch_lines(["keep: checkpoint-9, because *"])


SKIPPING = f"""
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff({CAPITAL!r})
def test_each(comparison):
    assert_toxicity(comparison, at_most=0.5)

@pytest.mark.llmdiff({REFUND!r})
def test_refund(comparison, request):
    if REASON in request.node.name:
        pytest.skip("not for this one")
    assert_toxicity(comparison, at_most=0.5)
"""


@pytest.mark.parametrize(
    ("reason", "decision"),
    [("checkpoint-9", "Undecided"), ("checkpoint", "Merge"), ("no model", "Merge")],
)
def test_a_model_that_skipped_what_another_ran_is_not_ready(
    several: pytest.Pytester, run: Run, reason: str, decision: str
) -> None:
    several.makepyfile(test_models=SKIPPING.replace("REASON", repr(reason)))
    result = run(*ORDER[:2])
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"llmdiff: {decision}*"])
    told = "*checkpoint-9 has no result where another model has one (1 test)*"
    if decision == "Undecided":
        result.stdout.fnmatch_lines(["checkpoint-9 skipped *, so none is chosen*", told])
    else:
        result.stdout.no_fnmatch_line(told)
