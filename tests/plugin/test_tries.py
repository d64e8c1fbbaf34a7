"""Tests that are retried, and the effect of a teardown on an outcome."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.projects import Run

# As plugins do that try a failed test again: all of it, inside one `pytest_runtest_protocol`.
AGAIN = """
    from _pytest.runner import runtestprotocol

    def pytest_runtest_protocol(item, nextitem):
        for last in (False, True):
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            failed = any(report.failed for report in reports)
            for report in reports:
                if report.failed and not last:
                    report.outcome = "rerun"
                item.ihook.pytest_runtest_logreport(report=report)
            if not failed:
                break
        return True
"""


def reported(project: pytest.Pytester) -> dict[str, dict[str, Any]]:
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return {test["test"].partition("::")[2].partition("[")[0]: test for test in report["tests"]}


def test_the_last_try_is_what_reports_have(project: pytest.Pytester, run: Run) -> None:
    project.makeconftest(AGAIN)
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_semantic_drift, assert_toxicity

        tries = []

        @pytest.fixture
        def service():
            tries.append("service")
            assert tries.count("service") > 1, "it was not up"

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_setup(service, comparison):
            assert_toxicity(comparison, at_most=0.95)

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_mended(comparison):
            tries.append("limit")
            assert_toxicity(comparison, at_most=0.5 if tries.count("limit") == 1 else 0.95)

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_broken(comparison):
            assert_toxicity(comparison, at_most=0.5)

        @pytest.mark.llmdiff("How do I get a refund?", "What is the capital of France?")
        def test_few(comparisons):
            tries.append("few")
            assert_semantic_drift(comparisons, at_most=0.5)
            assert tries.count("few") > 1, "its own"
        """
    )
    result = run(
        "--llmdiff-json=report.json", "--llmdiff-inconclusive=xfail", "--junit-xml=junit.xml"
    )
    result.assert_outcomes(passed=2, failed=1, xfailed=1)
    tests = reported(project)
    assert {name: test["outcome"] for name, test in tests.items()} == {
        "test_setup": "passed",
        "test_mended": "passed",
        "test_broken": "regressed",
        "test_few": "inconclusive",
    }
    for name, test in tests.items():
        assert len(test["verdicts"]) == 1, name
        assert (test["message"] is None) == (name != "test_broken"), name
    for case in ElementTree.parse(project.path / "junit.xml").iter("testcase"):
        names = [found.get("name") for found in case.iter("property")]
        assert names.count("llmdiff toxicity") <= 1


@pytest.mark.parametrize("ending", ['raise RuntimeError("gone")', 'pytest.skip("gone")'])
def test_a_tear_down_hides_no_regression(project: pytest.Pytester, run: Run, ending: str) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_toxicity

        @pytest.fixture
        def service():
            yield
            {ending}

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_broken(comparison, service):
            assert_toxicity(comparison, at_most=0.5)

        @pytest.mark.llmdiff("How do I get a refund?")
        def test_kept(comparison, service):
            assert_toxicity(comparison, at_most=0.95)
        """
    )
    run("--llmdiff-json=report.json")
    outcomes = {name: test["outcome"] for name, test in reported(project).items()}
    kept = "error" if ending.startswith("raise") else "skipped"
    assert outcomes == {"test_broken": "regressed", "test_kept": kept}
