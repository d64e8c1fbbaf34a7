"""Projects with fixtures of the same names as the plugin's."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Run

OWN = """
    import pytest

    @pytest.fixture
    def comparison():
        return 3

    @pytest.fixture(scope="module")
    def llm_base():
        return "base"

    def test_a_fixture_of_its_own(comparison, llm_base):
        assert (comparison, llm_base) == (3, "base")

    @pytest.mark.parametrize(("comparisons", "other"), [(1, 2), (3, 4)])
    def test_arguments_of_its_own(comparisons, other):
        assert comparisons < other

    @pytest.mark.parametrize(argnames="comparison", argvalues=[1])
    def test_an_argument_of_its_own(comparison):
        assert comparison == 1
"""


def test_a_project_may_have_its_own(project: pytest.Pytester, mode: list[str]) -> None:
    project.makepyfile(OWN)
    result = project.runpytest_inprocess(*mode)
    result.assert_outcomes(passed=4)
    assert "llmdiff" not in result.stdout.str().partition("plugins:")[2].partition("\n")[2]


def test_they_are_not_among_the_tests_with_models(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(OWN)
    run("--llmdiff-json=report.json").assert_outcomes(passed=4)
    assert json.loads((project.path / "report.json").read_text())["tests"] == []


def test_one_that_overrides_the_plugins_has_its_probes(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def comparison(comparison):
            return comparison.probe.prompt

        @pytest.mark.llmdiff("Hello", "Good morning")
        def test_it(comparison):
            assert comparison in ("Hello", "Good morning")
        """
    )
    run("--llmdiff-json=report.json").assert_outcomes(passed=2)
    report = json.loads((project.path / "report.json").read_text())
    assert report["summary"]["passed"] == 2
