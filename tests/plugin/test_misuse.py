"""Tests that use the plugin in undocumented ways: each gets a clear error, and none passes because
of it."""

from __future__ import annotations

import json

import pytest

from pytest_llmdiff.reports.advice import advice
from pytest_llmdiff.reports.outcomes import KINDS
from tests.support.projects import CAPITAL, CHINESE, REFUND, Run

SUITE = f"""
import unittest
import pytest
from pytest_llmdiff import assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff({REFUND!r})
def test_in_subtests(comparison, subtests):
    with subtests.test("drift"):
        assert_semantic_drift(comparison, at_most=0.01)
    with subtests.test("tone"):
        assert_toxicity(comparison, at_most=1)

@pytest.mark.llmdiff({CAPITAL!r})
def test_good_subtests(comparison, subtests):
    with subtests.test("drift"):
        assert_semantic_drift(comparison, at_most=0.01)

class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def found(self, comparison):
        self.comparison = comparison

    def test_unit(self): pass

@pytest.mark.llmdiff({REFUND!r})
class TestNamed:
    def test_by_name(self, request):
        request.getfixturevalue("comparisons")

@pytest.mark.llmdiff({REFUND!r})
def test_text_for_a_limit(comparison):
    assert_semantic_drift(comparison, at_most="0.3")

@pytest.mark.llmdiff({REFUND!r}, {CHINESE!r})
def test_partly_judged(comparisons):
    assert_semantic_drift(comparisons, at_most=0.5)
"""


def test_each_is_told(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    result = run("--llmdiff-json=report.json")
    result.stdout.fnmatch_lines_random(
        [
            "E *ConfigError: comparison is requested while the test runs: *.compare(prompt)",
            "E *ConfigError: comparisons is requested while the test runs: *",
            "E *ConfigError: a limit is a finite number, not '0.3': give one, such as 0.3",
            "E *semantic drift not judged: 1 of 2 replies could not be judged, and the verdict *",
            "  semantic drift 0.* (90 % interval *) over 1 of 2  *test_partly_judged",
        ]
    )
    # The failure is at the user's line, as that of a broken limit is.
    result.stdout.fnmatch_lines(['>       assert_semantic_drift(comparison, at_most=["]0.3["])'])
    result.stdout.no_fnmatch_line("*kept = value <= limit*")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    (failed,) = (test for test in report["tests"] if "test_in_subtests" in test["test"])
    (passed,) = (test for test in report["tests"] if "test_good_subtests" in test["test"])
    assert (failed["outcome"], passed["outcome"]) == ("regressed", "passed")
    assert report["summary"]["passed"] == 1


def test_a_marker_on_a_parameter_is_told(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest

        LATE = pytest.param(1, marks=pytest.mark.llmdiff({CHINESE!r}))

        @pytest.mark.llmdiff({REFUND!r})
        @pytest.mark.parametrize("n", [LATE, 2])
        def test_it(comparison, n): pass

        @pytest.fixture(params=[LATE])
        def number(request): return request.param

        @pytest.mark.llmdiff({REFUND!r})
        def test_fixture(comparison, number): pass
        """
    )
    result = run()
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["E *ConfigError: *in pytest.param(*put the prompts into*"])


def test_help_names_no_default_where_there_is_none(project: pytest.Pytester) -> None:
    shown = " ".join(project.runpytest_inprocess("--help").stdout.str().split())
    assert "longest reply, in tokens (a whole number from 1; default: 128)" in shown
    assert "default: the installed one (a checkout" in shown
    assert "default: None" not in shown.partition("--llm-base")[2].partition("--llmdiff-trust")[0]


@pytest.mark.parametrize(
    ("sizes", "forms", "advised"),
    [
        ((29,), 1, "about 29 probes"),
        ((5, 286, 30), 1, "about 5 to 286 probes"),
        ((29,), 3, "about 29 questions"),
    ],
)
def test_the_advice_covers_all_inconclusive_tests(
    sizes: tuple[int, ...], forms: int, advised: str
) -> None:
    rows = [
        {"compared": 1, "same": 0, "phases": {"call": "failed"}, "message": None, "verdicts": [
            {"name": "toxicity", "outcome": "inconclusive",
             "set": {"decides": size, "clusters": 4, "judged": 4 * forms}}]}
        for size in sizes
    ]  # fmt: skip
    found: dict[str, int] = {**dict.fromkeys(KINDS, 0), "inconclusive": len(sizes)}
    (line,) = advice(rows, found)
    assert line.startswith(f"inconclusive, {len(sizes)} test{'s' * (len(sizes) > 1)}: {advised} ")
