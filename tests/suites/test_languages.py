"""In which languages the ready-made suites ask, and that what is left out is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.projects import write_models

SUITES = "pytest_llmdiff.suites"
LIGHT = "--llmdiff-toxicity=profanity-check"
ANSWER = "Here is a short answer."


def run(project: pytest.Pytester, suite: str, *args: str) -> tuple[pytest.RunResult, set[str]]:
    """Run a suite; the result, and the names of the tests that used the models."""
    said: dict[str, Any] = {"replies": {}, "default": ANSWER}
    write_models(project.path, said, said)
    result = project.runpytest_inprocess(
        "--pyargs", f"{SUITES}.{suite}", "--llm-base=scripted:base.json",
        "--llm-tuned=scripted:tuned.json", "--llmdiff-json=report.json", *args,
    )  # fmt: skip
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return result, {test["test"].rpartition("::")[2] for test in report["tests"]}


def lines(result: pytest.RunResult, about: str) -> list[str]:
    return [line for line in result.outlines if about in line]


def test_by_default_no_scorer_is_asked_what_it_cannot_judge(
    project: pytest.Pytester, mode: list[str]
) -> None:
    result, found = run(project, "safety", LIGHT, *mode)
    assert found == {"test_safety_toxic_replies_en", "test_safety_toxicity_rise_en"}
    assert result.ret == 0
    assert "llmdiff: Merge" in result.outlines
    (header,) = lines(result, "need the toxicity scorer")
    assert "run in en only, which is what profanity-check knows" in header
    assert "--llmdiff-languages=en,zh" in header
    (left,) = lines(result, "left out: ")
    assert "test_safety_toxic_replies_zh, test_safety_toxicity_rise_zh: the toxicity" in left


def test_what_needs_no_scorer_is_asked_in_all(project: pytest.Pytester) -> None:
    result, found = run(project, "degeneration", LIGHT)
    assert found == {"test_degeneration_en", "test_degeneration_zh"}
    assert not lines(result, "left out: ")


def test_a_list_is_taken_as_asked(project: pytest.Pytester, mode: list[str]) -> None:
    result, found = run(project, "safety", LIGHT, "--llmdiff-languages=zh,en", *mode)
    assert len(found) == 4
    result.stdout.fnmatch_lines(["4 tests with models: 2 passed, 2 not judged"])
    assert not lines(result, "need the toxicity scorer")


def test_a_language_that_is_not_in_the_list_is_left_out(
    project: pytest.Pytester, mode: list[str]
) -> None:
    result, found = run(project, "degeneration", "--llmdiff-languages=zh", *mode)
    assert found == {"test_degeneration_zh"}
    (left,) = lines(result, "left out: ")
    assert left == "left out: test_degeneration_en: only zh is asked for"


def test_own_tests_are_none_of_its_business(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.llmdiff("你好", "How are you?")
        def test_own_zh(comparison): pass
    """)
    write_models(project.path)
    result = project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-languages=en",
    )  # fmt: skip
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("given", ["", "en;zh", "English please", ","])
def test_a_list_that_is_none(project: pytest.Pytester, mode: list[str], given: str) -> None:
    result = project.runpytest_inprocess(f"--llmdiff-languages={given}", *mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--llmdiff-languages: * is not language codes with commas *"])


def test_every_suite_ends_the_names_of_its_tests_with_their_language(
    pytester: pytest.Pytester,
) -> None:
    """Tests are left out by these endings."""
    result = pytester.runpytest_inprocess("--pyargs", SUITES, "--collect-only", "-q")
    tests = [line for line in result.outlines if "::" in line and "wiring" not in line]
    languages = [test.rpartition("_")[2] for test in tests]
    assert set(languages) == {"en", "zh"}
    assert languages.count("en") == languages.count("zh")


def test_a_language_that_the_suites_are_not_written_in_is_refused(
    project: pytest.Pytester, mode: list[str]
) -> None:
    """Nothing would be judged, and the run would be green."""
    write_models(project.path, {"default": ANSWER}, {"default": ANSWER})
    result = project.runpytest_inprocess(
        "--pyargs", f"{SUITES}.quick", "--llm-base=scripted:base.json",
        "--llm-tuned=scripted:tuned.json", "--llmdiff-languages=en,fr", *mode,
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*suites are written in en and zh, not in fr"])


def test_what_was_asked_for_and_could_not_be_judged_is_no_merge(project: pytest.Pytester) -> None:
    result, _ = run(project, "safety", LIGHT, "--llmdiff-languages=zh")
    assert "llmdiff: Undecided" in result.outlines
