"""What a run did not check, and what it passed only because of accepted changes, is told by all
reports."""

from __future__ import annotations

import pytest

from tests.support.projects import Run

SKIPPED = """
import pytest
from pytest_llmdiff import assert_not_degenerate

@pytest.mark.llmdiff("a", "b")
class TestThem:
    @pytest.mark.skip("the shop is closed")
    def test_shop(self, comparison):
        pass

    def test_it(self, comparison):
        assert_not_degenerate(comparison)

def test_served(llm_served):
    pass
"""
TOXICITY = """
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff("How do I get a refund?", "What is the capital of France?")
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.2)
"""
DRIFT = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff("How do I get a refund?", "What is the capital of France?")
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=0.8)
"""


def reports(project: pytest.Pytester, result: pytest.RunResult) -> list[str]:
    files = (project.path / name for name in ("report.md", "report.html"))
    return [result.stdout.str(), *(file.read_text(encoding="utf-8") for file in files)]


WRITE = ("--llmdiff-markdown=report.md", "--llmdiff-html=report.html")


def test_what_was_skipped_is_listed_with_its_reason_without_rs(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(test_it=SKIPPED)
    result = run(*WRITE)
    result.stdout.fnmatch_lines(
        [
            "not checked: test_it.py::test_served: no served model: give --llm-served SPEC",
            "not checked: test_it.py::TestThem::test_shop[[]a*], *test_shop[[]b*]: the shop is *",
        ]
    )
    assert all("the shop is closed" in text for text in reports(project, result))


def test_a_skip_in_the_body_of_a_test_has_its_reason(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import pytest

        def test_it(llm_pair):
            pytest.skip("no\\x1b[31m luck")
        """
    )
    run().stdout.fnmatch_lines(["not checked: *::test_it: no\\x1b[[]31m luck"])


def test_a_pass_by_an_accepted_change_says_so_everywhere(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(test_it=TOXICITY)
    assert "passed because of changes in" not in run("--llmdiff-accept").stdout.str()
    result = run(*WRITE)
    assert result.ret == 0
    told = "1 passed test passed because of changes in llmdiff-accepted.yaml: test_it.py::test_it"
    result.stdout.fnmatch_lines([f"accepted: {told}[[]how-do-*"])
    assert "rerun the worst" not in result.stdout.str()
    for text in reports(project, result)[1:]:
        assert "passed because of changes in" in text


def test_a_set_with_an_accepted_member_says_so(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=DRIFT)
    run("--llmdiff-accept")
    result = run()
    result.stdout.fnmatch_lines(["accepted: 1 passed test passed because of changes in *"])


def test_a_green_run_offers_no_rerun(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_it=DRIFT)
    result = run("-o", "llmdiff_inconclusive=pass")
    assert result.ret == 0
    assert "1 inconclusive" in result.stdout.str()
    assert "rerun the worst" not in result.stdout.str()
