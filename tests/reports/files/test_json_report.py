"""The JSON report holds what its schema says, whatever came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_llmdiff.reports.diff.reading import SCHEMA, SEVERITY
from pytest_llmdiff.verdicts.baseline import CHANCE, LEAST
from tests.support.every_outcome import run_every_outcome, write_every_outcome
from tests.support.json_schema import WRITTEN, faults
from tests.support.pages import names
from tests.support.projects import Run


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(WRITTEN)
    assert WRITTEN["properties"]["schema"]["const"] == SCHEMA
    assert set(WRITTEN["properties"]["summary"]["properties"]) == set(SEVERITY)


def test_a_run_of_every_outcome(project: pytest.Pytester, mode: list[str]) -> None:
    write_every_outcome(project.path)
    run_every_outcome(project, "--llmdiff-json=report.json", *mode)
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert faults(report) == []
    assert all(report["summary"].values()), report["summary"]
    verdicts = [verdict for test in report["tests"] for verdict in test["verdicts"]]
    assert {"regressed", "inconclusive", "not_judged", "passed"} == {
        verdict["outcome"] for verdict in verdicts
    }
    assert any(verdict["set"] for verdict in verdicts)
    assert any(test["many"] for test in report["tests"])
    sides = {tuple(c["sides"]) for test in report["tests"] for c in test["comparisons"]}
    assert sides == {("base", "tuned"), ("tuned", "served")}
    failed = next(t for t in report["tests"] if "test_own_assertion" in t["test"])
    line = (project.path / failed["file"]).read_text(encoding="utf-8").splitlines()
    assert line[failed["line"] - 1].strip().startswith("assert ")
    assert failed["rerun"].startswith('pytest "test_every.py::test_own_assertion[')
    assert "--llm-tuned=scripted:tuned.json" in failed["rerun"]
    assert "--llmdiff-json" not in failed["rerun"]


def test_calibrated_limits_come_with_their_noise(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.mark.llmdiff(*(f"question {n}" for n in range(30)))
        def test_each(comparison): assert_toxicity(comparison)

        @pytest.mark.llmdiff(*(f"question {n}" for n in range(30)))
        def test_set(comparisons): assert_toxicity(comparisons)
        """
    )
    run("--llmdiff-calibrate=b.json", '--llmdiff-margin={"toxicity rise": 0.05}').assert_outcomes(
        passed=31
    )
    run("--llmdiff-baseline=b.json", "--llmdiff-json=report.json")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    assert faults(report) == []
    verdicts = [verdict for test in report["tests"] for verdict in test["verdicts"]]
    assert len(verdicts) == 31
    for verdict in verdicts:
        assert verdict["noise"] + 0.05 + LEAST == pytest.approx(verdict["limit"])
        assert verdict["chance"] == CHANCE / 2


@pytest.mark.parametrize(
    "break_it",
    [
        lambda report: report.pop("tests"),
        lambda report: report.update(schema="pytest-llmdiff/2"),
        lambda report: report["summary"].update(passed=-1),
        lambda report: report["tests"].append({"test": "x"}),
    ],
    ids=["no tests", "another schema", "a count below 0", "a test of nothing"],
)
def test_what_is_not_a_report_has_faults(break_it: Any) -> None:
    report: dict[str, Any] = {
        "schema": SCHEMA, "version": "0", "base": "b", "tuned": "t", "resolved": {},
        "settings": {}, "notes": [], "warnings": [], "summary": dict.fromkeys(SEVERITY, 0),
        "tests": [],
    }  # fmt: skip
    assert faults(report) == []
    break_it(report)
    assert faults(report)


def key_paths(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The keys that a schema names, as the table of the docs has them."""
    if "$ref" in schema:
        yield from key_paths(WRITTEN["$defs"][schema["$ref"].rpartition("/")[2]], path)
    for choice in schema.get("anyOf", ()):
        yield from key_paths(choice, path)
    for key, held in schema.get("properties", {}).items():
        place = f"{path}.{key}" if path else key
        yield place
        yield from key_paths(held, place)
    if "items" in schema:
        yield from key_paths(schema["items"], path + "[]")
    if path == "settings":
        yield "settings.*"
        yield from key_paths(schema["additionalProperties"], "settings.*")


def test_the_docs_have_every_key_of_the_schema() -> None:
    assert set(key_paths(WRITTEN)) == set(names("docs/json-report.md", "## Keys"))
