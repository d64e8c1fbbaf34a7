"""A suite that is named yields all of its tests, or the run says at once why it cannot."""

from __future__ import annotations

import re

import pytest

from tests.support.projects import INI, NATIVE_TOML, Run

LIST = r"[\[\],']"
SUITE = "pytest_llmdiff.suites.wiring"
MODULE = f"{SUITE}.test_wiring"


def _run(pytester: pytest.Pytester, *args: str, ini: str = "") -> pytest.RunResult:
    # As native TOML; other ini files have lists as words.
    (pytester.path / INI).write_text(
        f"[pytest]\n{ini if NATIVE_TOML else re.sub(LIST, '', ini)}\n", encoding="utf-8"
    )
    return pytester.runpytest_inprocess("--pyargs", "-p", "no:cacheprovider", *args)


def _refused(result: pytest.RunResult, message: str) -> None:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: llmdiff: {message}"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize(
    ("argument", "ini", "message"),
    [
        (
            SUITE, "python_files = ['check_*.py', 'spec_*.py']",
            f"{SUITE} would leave tests out: python_files is 'check_[*].py spec_[*].py' and must "
            'include test_[*].py; add that, or give -o "python_files=test_[*].py" for this run',
        ),
        (
            "pytest_llmdiff.suites", "python_functions = ['check']",
            "*: python_functions is 'check' and must include test_; *\"python_functions=test_\"*",
        ),
        (
            SUITE, "python_files = ['check_*.py']\npython_functions = ['check_*']",
            "*python_files is *must include * and python_functions is 'check_[*]' and must*"
            '-o "python_files=test_[*].py" -o "python_functions=test_" for this run',
        ),
        (f"{MODULE}::test_replies_stop", "python_functions = ['check']", "*python_functions is*"),
        ("pytest_llmdiff.suites.wirring", "", f"there is no suite *(did you mean {SUITE}?)*"),
        ("pytest_llmdiff.suites.conftest", "", f"there is no suite *; there is *{SUITE}*"),
    ],
)  # fmt: skip
def test_a_suite_that_would_yield_too_little(
    pytester: pytest.Pytester, mode: list[str], argument: str, ini: str, message: str
) -> None:
    _refused(_run(pytester, argument, *mode, ini=ini), message)


@pytest.mark.parametrize(
    ("argument", "ini"),
    [
        (SUITE, ""),
        (SUITE, "python_files = ['check_*.py', 'test_*.py']"),
        (SUITE, "python_files = ['suites/*/test_*.py']\npython_functions = ['check', '*_*']"),
        (MODULE, "python_files = ['check_*.py']"),
        (f"{MODULE}::test_replies_stop", "python_functions = ['test_replies']"),
    ],
)
def test_a_suite_that_yields_its_tests(pytester: pytest.Pytester, argument: str, ini: str) -> None:
    result = _run(pytester, argument, "--collect-only", "-q", ini=ini)
    assert result.ret == 0
    assert "::test_replies_stop" in result.stdout.str()
    assert ("::test_special_tokens_agree" in result.stdout.str()) == ("::" not in argument)


def test_the_suggested_option_helps(pytester: pytest.Pytester, mode: list[str]) -> None:
    ini = "python_files = ['check_*.py']"
    option = "python_files=test_*.py"
    result = _run(pytester, SUITE, "-o", option, "-k", "replies_stop", *mode, ini=ini)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no models: give --llm-base SPEC*"])


def test_a_pattern_with_a_folder_that_is_not_the_suite_s(pytester: pytest.Pytester) -> None:
    ini = "python_files = ['checks/test_*.py']"
    _refused(_run(pytester, SUITE, ini=ini), "*python_files is 'checks/test_[*].py' and must*")


def test_other_arguments_are_none_of_its_business(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(check_own="def check_it(): pass")
    ini = "python_files = ['check_*.py']\npython_functions = ['check']"
    _run(pytester, "check_own.py", ini=ini).assert_outcomes(passed=1)
    (pytester.path / SUITE).mkdir()
    without = pytester.runpytest_inprocess("-p", "no:cacheprovider", SUITE)
    assert without.ret == pytest.ExitCode.NO_TESTS_COLLECTED, "a folder of that name: no --pyargs"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ([SUITE], SUITE),
        ([f"{SUITE}::test_replies_stop"], SUITE),
        (["--pyargs", "wiring"], SUITE),
        (["wiring"], SUITE),
        (["--pyargs", "saftey"], "pytest_llmdiff.suites.safety"),
        (["--pyargs", "pytest_llmdiff.suits.safety"], "pytest_llmdiff.suites.safety"),
        (["pytest_llmdiff.suites.saftey"], "pytest_llmdiff.suites.safety"),
    ],
)
def test_a_suite_that_is_named_wrongly(
    pytester: pytest.Pytester, mode: list[str], arguments: list[str], meant: str
) -> None:
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *mode, *arguments)
    _refused(result, f"* is neither a file nor a folder; did you mean pytest --pyargs {meant}[?]")


@pytest.mark.parametrize("arguments", [["nowhere"], ["--pyargs", "wiring_of_ours"], ["lore.py"]])
def test_what_is_no_suite_at_all_is_left_to_pytest(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "llmdiff" not in result.stderr.str()


def test_a_folder_without_tests(run: Run) -> None:
    result = run()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    (line,) = (line for line in result.outlines if line.startswith("llmdiff: no test was run"))
    command = line.partition("pytest ")[2]
    assert command == (
        "--pyargs pytest_llmdiff.suites.quick --llm-base=scripted:base.json "
        "--llm-tuned=scripted:tuned.json"
    )
    assert "no test was run" not in run("--collect-only").stdout.str()
