"""The marker: the order of the cases that it gives, and values that fixtures do not take."""

from __future__ import annotations

import pytest

from tests.support.projects import Run

STACKED = """
    import pytest

    pytestmark = [pytest.mark.llmdiff("one"), pytest.mark.llmdiff("two")]

    @pytest.mark.llmdiff("three", "four")
    @pytest.mark.llmdiff("five")
    class TestDecorated:
        @pytest.mark.llmdiff("six")
        @pytest.mark.usefixtures("tmp_path")
        @pytest.mark.llmdiff("seven")
        def test_it(self, comparison):
            print("ASKED", comparison.probe.messages[-1]["content"])

        @pytest.mark.llmdiff("six")
        @pytest.mark.llmdiff("seven")
        def test_set(self, comparisons):
            print("ASKED", *(probe.messages[-1]["content"] for probe in comparisons.probes))

    class TestListed:
        pytestmark = [pytest.mark.llmdiff("three"), pytest.mark.llmdiff("four")]

        @pytest.mark.llmdiff("five")
        def test_it(self, comparison):
            print("ASKED", comparison.probe.messages[-1]["content"])
"""


def test_stacked_markers_add_up_as_one_reads_them(project: pytest.Pytester) -> None:
    project.makepyfile(test_stacked=STACKED)
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    result = project.runpytest_inprocess(*models, "-s")
    order = [line.split("ASKED ")[1] for line in result.outlines if "ASKED " in line]
    seven = ["one", "two", "three", "four", "five", "six", "seven"]
    assert order == [*seven, " ".join(seven), *seven[:5]]


@pytest.mark.parametrize(
    ("marks", "name", "arguments"),
    [
        ('("comparison", ["a", "b"], indirect=True)', "comparison", "comparison"),
        (
            '(["n", "comparisons"], [(1, "a")], indirect=["comparisons"])',
            "comparisons",
            "n, comparisons",
        ),
        (
            '("llm_tuned, n", [("a", 1)], indirect=["llm_tuned"])',
            "llm_tuned",
            "comparison, llm_tuned, n",
        ),
    ],
)
def test_values_for_a_fixture_are_one_clear_line(
    project: pytest.Pytester, run: Run, mode: list[str], marks: str, name: str, arguments: str
) -> None:
    project.makepyfile(
        f"""
        import pytest

        @pytest.mark.llmdiff("How do I get a refund?")
        @pytest.mark.parametrize{marks}
        def test_it({arguments}):
            pass
        """
    )
    result = run()
    # xdist counts a file that its workers cannot collect as a failure.
    assert result.ret == pytest.ExitCode(1 if mode else 2)
    advice = "--llm-tuned" if name == "llm_tuned" else "@pytest.mark.llmdiff"
    result.stdout.fnmatch_lines([f"*test_it gives {name} values with parametrize*{advice}*"])
    assert "Traceback" not in result.stdout.str()


def test_a_fixture_of_the_project_may_take_values(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def comparison(request):
            return request.param

        @pytest.mark.parametrize("comparison", ["a", "b"], indirect=True)
        def test_it(comparison):
            assert comparison in "ab"
        """
    )
    run().assert_outcomes(passed=2)
