"""Each form of the command line runs the project's tests once, with the project's ini file."""

from __future__ import annotations

import os
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.command_line import VALUED, joined
from tests.support.projects import INI, NATIVE_TOML, write_models

TEST = f"""
import pytest

@pytest.mark.llmdiff("a", "b", max_new_tokens=5)
def test_it(comparison, pytestconfig):
    assert pytestconfig.inipath.name == {INI!r}
    assert comparison.tuned.text

def test_plain():
    pass
"""


@pytest.fixture
def models(project: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Both models as words of their own; a file of an option lies outside the project."""
    project.makepyfile(test_it=TEST)
    report = tmp_path_factory.mktemp("elsewhere") / "report.json"
    report.write_text("{}", encoding="utf-8")
    return [
        "--llm-base", "scripted:base.json", "--llm-tuned", "scripted:tuned.json",
        "--llmdiff-json", str(report),
    ]  # fmt: skip


def ran_once(result: pytest.RunResult, passed: int = 3) -> None:
    result.assert_outcomes(passed=passed)
    text = result.stdout.str()
    assert text.count("test session starts") == 1
    assert text.count(f"configfile: {INI}") == 1
    assert result.stderr.str() == ""


@pytest.mark.parametrize("first", [[], ["test_it.py"], ["-p", "no:cacheprovider", "-v"]])
def test_a_path_outside_the_project(
    project: pytest.Pytester, mode: list[str], models: list[str], first: list[str]
) -> None:
    ran_once(project.runpytest_inprocess(*first, *mode, *models))


def test_a_real_command(project: pytest.Pytester, models: list[str]) -> None:
    (project.path / "conftest.py").write_text("print('imported')", encoding="utf-8")
    result = project.runpytest_subprocess(*models)
    ran_once(result)
    assert "imported" not in result.stdout.str()


def test_a_module_by_its_name(project: pytest.Pytester, mode: list[str], models: list[str]) -> None:
    package = project.mkpydir("suite")
    (package / "test_inside.py").write_text(TEST, encoding="utf-8")
    ran_once(project.runpytest_inprocess("--pyargs", "suite.test_inside", *mode, *models))


def test_from_the_environment(
    project: pytest.Pytester,
    mode: list[str],
    models: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", shlex.join(models))
    ran_once(project.runpytest_inprocess(*mode))
    assert os.environ["PYTEST_ADDOPTS"] == shlex.join(models)


def test_from_a_file_of_arguments(project: pytest.Pytester, models: list[str]) -> None:
    (project.path / "args.txt").write_text("\n".join(models), encoding="utf-8")
    ran_once(project.runpytest_inprocess("@args.txt"))


def test_a_named_ini_file(project: pytest.Pytester, models: list[str]) -> None:
    ran_once(project.runpytest_inprocess("-c", INI, *models))


def test_the_exit_code_is_that_of_the_run(project: pytest.Pytester, models: list[str]) -> None:
    project.makepyfile(test_red="def test_red(): assert 0")
    assert project.runpytest_inprocess(*models).ret == pytest.ExitCode.TESTS_FAILED
    assert project.runpytest_inprocess("-k", "nothing", *models).ret == (
        pytest.ExitCode.NO_TESTS_COLLECTED
    )


def test_listing_runs_nothing(project: pytest.Pytester, models: list[str]) -> None:
    result = project.runpytest_inprocess("--collect-only", "-q", *models)
    assert result.stdout.str().count("test_it.py::test_plain") == 1


@given(st.lists(st.sampled_from([*sorted(VALUED)[:4], "-v", "--llmdiff-plan", "a.py", "x=y"])))
def test_no_word_is_lost(words: list[str]) -> None:
    found = joined(words)
    assert joined(found) == found
    flags = "|".join(map(re.escape, VALUED))
    assert " ".join(re.sub(rf"^({flags})=", r"\1 ", word) for word in found) == " ".join(words)


# Paths in addopts start at the ini file's folder


@pytest.fixture
def monorepo(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose ini file names its models, and whose tests lie in a folder."""
    ini = project.path / INI
    options = ["--llm-base=scripted:base.json", "--llm-tuned", "scripted:tuned.json"]
    options += ["--llmdiff-json=out.json"]
    added = options if NATIVE_TOML else " ".join(options)
    text = ini.read_text(encoding="utf-8") + f"\naddopts = {added}\n"
    ini.write_text(text, encoding="utf-8")
    tests = project.mkdir("tests")
    (tests / "test_it.py").write_text(TEST, encoding="utf-8")
    return project


@pytest.mark.parametrize("folder", [".", "tests"])
def test_models_of_the_ini_file(
    monorepo: pytest.Pytester,
    mode: list[str],
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(monorepo.path / folder)
    monorepo.runpytest_inprocess(*mode).assert_outcomes(passed=3)
    assert (monorepo.path / "out.json").is_file()


def test_the_rerun_command_works_there(
    monorepo: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = monorepo.path / "tests" / "test_it.py"
    test.write_text(TEST.replace(".tuned.text", ".tuned.text == 'x'"), encoding="utf-8")
    monkeypatch.chdir(test.parent)
    red = monorepo.runpytest_inprocess()
    red.assert_outcomes(passed=1, failed=2)
    command = re.search(r"rerun the worst: pytest (.*)", red.stdout.str())
    assert command is not None
    again = monorepo.runpytest_inprocess(*shlex.split(command[1]))
    again.assert_outcomes(failed=1)


def test_another_model_on_the_command_line_starts_here(
    monorepo: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = monorepo.path / "tests"
    write_models(here, tuned={"default": "here"})
    (here / "tuned.json").rename(here / "mine.json")
    monkeypatch.chdir(here)
    (here / "test_it.py").write_text(
        TEST.replace(".tuned.text", ".tuned.text == 'here'"), encoding="utf-8"
    )
    monorepo.runpytest_inprocess("--llm-tuned=scripted:mine.json").assert_outcomes(passed=3)
