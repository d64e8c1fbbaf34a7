"""What changed between two runs, from their JSON reports."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmdiff.__main__ import main
from pytest_llmdiff.reports.diff.diff import changes_between
from pytest_llmdiff.reports.diff.reading import SEVERITY
from tests.support.json_reports import report
from tests.support.projects import CAPITAL, REFUND, TUNED, Run, write_models


@pytest.mark.parametrize("before", SEVERITY)
@pytest.mark.parametrize("after", SEVERITY)
def test_each_outcome_after_each(before: str, after: str) -> None:
    found = changes_between(report({"x": before}), report({"x": after}))
    assert found.got_worse == (SEVERITY[after] > SEVERITY[before])
    kinds = [len(held) for held in (found.worse, found.fixed, found.other)]
    assert sum(kinds) == (before != after)
    assert len(found.fixed) == (after == "passed" != before)


def test_new_and_gone() -> None:
    before = report({"stays": "passed", "goes": "passed"})
    after = report({"stays": "passed", "comes": "passed", "fails": "regressed"})
    found = changes_between(before, after)
    assert [c.test for c in found.gone] == ["goes"]
    assert [c.test for c in found.new] == ["comes"]
    assert [c.test for c in found.worse] == ["fails"]
    assert found.got_worse
    assert changes_between(
        before, report({"stays": "passed"})
    ).got_worse  # its result is unknown now


def test_the_same_run_twice_has_no_changes() -> None:
    found = changes_between(report({"x": "regressed"}, x=0.5), report({"x": "regressed"}, x=0.5))
    assert not found.got_worse
    assert [*found.moved, *found.settings, *found.other, *found.new] == []


def test_measures_that_moved_come_farthest_first() -> None:
    tests = dict.fromkeys(("a", "b", "c", "d"), "passed")
    before = report(tests, a=0.1, b=0.1, c=0.1, d=0.1)
    after = report(tests, a=0.14, b=0.29, c=0.1, d=None)
    after["tests"][2]["verdicts"][0]["limit"] = 0.2
    assert [m.test for m in changes_between(before, after).moved] == ["d", "b", "a", "c"]
    for run in (before, after):
        run["tests"][0]["verdicts"][0]["limit"] = 0  # which puts nothing first
    assert [m.test for m in changes_between(before, after).moved] == ["d", "b", "a", "c"]


def test_settings_and_models_that_differ() -> None:
    after = copy.deepcopy(report({}))
    after["settings"]["seed"]["value"] = 3
    after["settings"]["json"]["value"] = "elsewhere"
    after["tuned"] = "u"
    assert changes_between(report({}), after).settings == (("tuned", "t", "u"), ("seed", 0, 3))


# The command


def compare(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_llmdiff", "compare", *args],
        cwd=folder, check=False, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip


def test_two_real_runs(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_it(comparison): assert_semantic_drift(comparison, at_most=0.1)
        """
    )
    run("--llmdiff-json=new.json").assert_outcomes(passed=1, failed=1)
    write_models(project.path, tuned=TUNED | {"replies": {CAPITAL: "The capital is Paris"}})
    run("--llmdiff-json=old.json", "--llmdiff-max-new-tokens=99")
    worse = compare(project.path, "old.json", "new.json")
    assert worse.returncode in (0, 1), worse.stderr
    lines = worse.stdout.splitlines()
    assert "2 tests before, 2 after" in lines
    assert "  max_new_tokens changed: 99 → 128" in lines
    assert "  2 of 2 replies of the tuned model differ" in lines
    assert any(line.startswith("  semantic drift 0.") and "(limit 0.1)" in line for line in lines)
    same = compare(project.path, "new.json", "new.json")
    assert same.returncode == 0
    assert same.stdout.splitlines() == ["2 tests before, 2 after", "nothing got worse"]


def test_what_got_worse_comes_first_and_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = report({"a": "passed", "b": "regressed", "gone": "passed"}, a=0.1)
    after = report({"a": "regressed", "b": "passed", "new": "passed"}, a=0.5)
    for name, held in (("old", before), ("new", after)):
        (tmp_path / f"{name}.json").write_text(json.dumps(held), encoding="utf-8")
    files = [str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    assert main(["compare", *files]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "3 tests before, 3 after",
        "got worse: 1",
        "  a: passed → regressed",
        "gone: 1",
        "  gone: passed",
        "fixed: 1",
        "  b: regressed → passed",
        "new: 1",
        "  new: passed",
        "moved:",
        "  drift 0.1 → 0.5 (limit 0.3)  a",
        "worse: 1 tests got worse, 1 are gone",
    ]


def test_long_lists_are_cut_and_nothing_steers_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"test[\x1b[31m{n}]" for n in range(30)]
    for name, outcome in (("old", "passed"), ("new", "regressed")):
        held = report(dict.fromkeys(names, outcome))
        held["base"] = f"{name}\u202e"
        (tmp_path / f"{name}.json").write_text(json.dumps(held), encoding="utf-8")
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 1
    out = capsys.readouterr().out
    assert "  and 10 more" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"old\u202e → new\u202e" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "is not a JSON file"),
        ("[" * 100_000, "is not a JSON file"),
        ("[]", "is not a report of schema"),
        ('{"schema": "pytest-llmdiff/2"}', "(it has 'pytest-llmdiff/2')"),
        ('{"schema": "pytest-llmdiff/1"}', "is damaged: KeyError: 'tests'"),
        ('{"schema": "pytest-llmdiff/1", "tests": [3]}', "is damaged: TypeError"),
        (
            json.dumps({**report({}), "tests": report({"x": "failed"})["tests"] * 2}),
            "appears twice",
        ),
        (json.dumps({**report({}), "tests": [{"test": 5}]}), "is not a name"),
    ],
    ids=["none", "half", "deep", "list", "other schema", "empty", "damaged", "twice", "no name"],
)
def test_files_that_are_no_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    (tmp_path / "good.json").write_text(json.dumps(report({"x": "passed"})), encoding="utf-8")
    if content is not None:
        (tmp_path / "bad.json").write_text(content, encoding="utf-8")
    for order in (("good", "bad"), ("bad", "good")):
        assert main(["compare", *(str(tmp_path / f"{name}.json") for name in order)]) == 2
        found = capsys.readouterr()
        assert found.out == ""
        assert said in found.err
        assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("value", "x", "one of the reports is damaged"),
        ("limit", True, "one of the reports is damaged"),
        ("limit", int("9" * 400), "a number has 400 digits"),
        ("unit", 5, "one of the reports is damaged"),
        ("name", None, "one of the reports is damaged"),
    ],
    ids=["text", "truth", "endless", "unit", "name"],
)
def test_values_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: object, said: str
) -> None:
    for name, found in (("old", 0.1), ("new", 0.2)):
        written = report({"x": "passed"}, x=found)
        written["tests"][0]["verdicts"][0] |= {key: value} if name == "new" or key == "name" else {}
        (tmp_path / f"{name}.json").write_text(json.dumps(written), encoding="utf-8")
    assert main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 2
    assert said in capsys.readouterr().err


def test_a_run_before_without_tests_is_nothing_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, tests in (("none", {}), ("good", {"x": "passed"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(report(tests)), encoding="utf-8")
    for new in ("none", "good"):
        assert main(["compare", str(tmp_path / "none.json"), str(tmp_path / f"{new}.json")]) == 2
        assert "has no tests" in capsys.readouterr().err


def test_a_reader_that_has_read_enough(tmp_path: Path) -> None:
    """`compare … | head -1`: no traceback, and the exit code of the comparison."""
    for name, outcome in (("old", "passed"), ("new", "regressed")):
        text = json.dumps(report({"x": outcome}))
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    reader, writer = os.pipe()
    os.close(reader)  # already gone
    command = [sys.executable, "-m", "pytest_llmdiff", "compare", "old.json", "new.json"]
    ended = subprocess.run(
        command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_an_unknown_command(tmp_path: Path) -> None:
    assert compare(tmp_path).returncode == 2
    assert "OLD.json" in compare(tmp_path, "--help").stdout
