"""Models in `addopts` are there in every run: those that use none are not disturbed by them."""

from __future__ import annotations

import pytest

TESTS = """
import pytest

@pytest.mark.llmdiff("a")
def test_model(comparison):
    pass

def test_unit():
    pass
"""
LISTING = (
    "--collect-only", "--help", "--markers", "--fixtures", "--fixtures-per-test", "--setup-plan",
    "--setup-only",
)  # fmt: skip
ADDOPTS = {
    "missing": "--llm-base=scripted:base.json --llm-tuned=scripted:nowhere.json",
    "hub": "--llm-base=ORG/NAME --llm-tuned=OTHER/NAME",
    "base alone": "--llm-base=scripted:base.json",
    "no factory": "--llm-base=scripted:base.json --llm-tuned=scripted:tuned.json "
    "--llmdiff-llamafactory=nowhere",
    "none": "",
}


def write(project: pytest.Pytester, addopts: str) -> None:
    given = "".join(f'"{word}", ' for word in addopts.split())
    (project.path / "pytest.toml").write_text(
        f"[pytest]\naddopts = [{given}]\nllmdiff_required = true\n", encoding="utf-8"
    )
    project.makepyfile(test_it=TESTS)


@pytest.mark.parametrize("addopts", ADDOPTS)
def test_listing_and_other_tests_need_no_models(project: pytest.Pytester, addopts: str) -> None:
    write(project, ADDOPTS[addopts])
    for option in LISTING:
        assert project.runpytest_inprocess(option).ret == 0, option
    assert project.runpytest_inprocess("-k", "unit").ret == 0


@pytest.mark.parametrize("option", ["--collect-only", "--setup-only", "-kunit"])
def test_the_same_under_xdist(project: pytest.Pytester, mode: list[str], option: str) -> None:
    write(project, ADDOPTS["missing"])
    assert project.runpytest_inprocess(*mode, option).ret == 0


@pytest.mark.parametrize("addopts", [name for name in ADDOPTS if name != "none"])
def test_a_test_that_needs_them_ends_the_run(project: pytest.Pytester, addopts: str) -> None:
    write(project, ADDOPTS[addopts])
    result = project.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: llmdiff: --llm*"])
    result.stdout.fnmatch_lines(["llmdiff: no models: --llm*"])


def test_a_test_that_needs_them_ends_a_run_under_xdist(
    project: pytest.Pytester, mode: list[str]
) -> None:
    write(project, ADDOPTS["missing"])
    result = project.runpytest_inprocess(*mode)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: llmdiff: --llm-tuned: *there is no file*nowhere.json"])


def test_pytest_addopts_is_there_in_every_run_too(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "")
    monkeypatch.setenv("PYTEST_ADDOPTS", ADDOPTS["missing"])
    assert project.runpytest_inprocess("-k", "unit").ret == 0
    assert project.runpytest_inprocess().ret == pytest.ExitCode.USAGE_ERROR


def test_models_on_the_command_line_are_checked_at_once(project: pytest.Pytester) -> None:
    write(project, "")
    given = ADDOPTS["missing"].split()
    assert project.runpytest_inprocess(*given, "-k", "unit").ret == pytest.ExitCode.USAGE_ERROR
    # An editor passes on what a user's settings give.
    assert project.runpytest_inprocess(*given, "--collect-only").ret == 0
    plan = project.runpytest_inprocess(*given, "--llmdiff-plan")
    assert plan.ret == pytest.ExitCode.USAGE_ERROR


def test_a_fixture_that_is_asked_for_while_the_test_runs_fails(project: pytest.Pytester) -> None:
    write(project, ADDOPTS["missing"])
    project.makepyfile(test_it="def test_it(request): request.getfixturevalue('llm_pair')")
    result = project.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*--llm-tuned: scripted:nowhere.json: there is no file*"])
