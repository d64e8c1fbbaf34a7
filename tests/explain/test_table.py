"""The table of explanations: a kind is its folder and its line, loaded once a test fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pytest_llmdiff
from pytest_llmdiff.explain import KINDS, load_kinds
from pytest_llmdiff.explain.kind import Kind
from tests.support.json_schema import WRITTEN
from tests.support.projects import CAPITAL, REFUND

SUITE = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_answers(comparison):
    assert_semantic_drift(comparison, at_most=0.01)
"""
# Which modules of the package a run has loaded, and from where.
WATCH = """
import json, pathlib, sys

def pytest_unconfigure():
    loaded = {name: module.__file__ for name, module in sys.modules.items()
              if name.startswith("pytest_llmdiff")}
    pathlib.Path("loaded.json").write_text(json.dumps(loaded), encoding="utf-8")
"""
MODULES = {f"pytest_llmdiff.explain.{place.partition(':')[0]}" for place in KINDS.values()}


def run(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    project.makepyfile(SUITE)
    project.makeconftest(WATCH)
    return project.runpytest_subprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-json=report.json", "--llmdiff-html=report.html", *args,
    )  # fmt: skip


def loaded_in(project: pytest.Pytester) -> dict[str, str]:
    modules: dict[str, str] = json.loads((project.path / "loaded.json").read_text(encoding="utf-8"))
    return modules


def test_every_line_is_a_kind_with_a_key_in_the_report() -> None:
    assert set(KINDS) <= set(WRITTEN["$defs"]["comparison"]["properties"])
    kinds = load_kinds()
    assert all(isinstance(kind, Kind) for kind in kinds.values())
    assert sorted(kinds) == sorted(KINDS)
    assert len({kind.title for kind in kinds.values()}) == len(kinds)


def test_no_kind_is_loaded_before_a_test_fails(project: pytest.Pytester) -> None:
    run(project, "-k", "capital").assert_outcomes(passed=1, deselected=1)
    loaded = set(loaded_in(project))
    assert "pytest_llmdiff.explain" in loaded
    assert not loaded & MODULES
    run(project).assert_outcomes(passed=1, failed=1)
    assert set(loaded_in(project)) >= MODULES


def test_a_kind_goes_with_its_folder_and_its_line(
    project: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pytest_llmdiff"
    shutil.copytree(
        Path(pytest_llmdiff.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.rmtree(package / "explain" / "tokens")
    table = package / "explain" / "__init__.py"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith('    "seen": ')]
    assert len(kept) == len(lines) - 1
    table.write_text("".join(kept), encoding="utf-8")
    for file in package.rglob("*.py"):
        assert "explain.tokens" not in file.read_text(encoding="utf-8"), file

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    assert {Path(file).is_relative_to(package) for file in loaded_in(project).values()} == {True}
    result.stdout.fnmatch_lines(["E         differs from token 1: *"])
    result.stdout.no_fnmatch_line("*likely*")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    (row,) = report["tests"][0]["comparisons"]
    assert row["prompt"] == REFUND
    assert set(KINDS) - set(row) == {"seen"}
    page = (project.path / "report.html").read_text(encoding="utf-8")
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert "What a stupid question" in data
    assert "oken by token" not in data
