"""Sets in which a model cannot answer some probes: they count as the worst that they can be."""

from __future__ import annotations

import json

import pytest

from tests.support.projects import Run

SAID = "I can help you with that, and here is how it is done."
ASKED = 60


def write(project: pytest.Pytester, test: str, missing: int = 1, asked: int = ASKED) -> None:
    """A test of the fixture, and a tuned model that has no reply to the first `missing` prompts."""
    prompts = [f"question {n}" for n in range(asked)]
    for name, known in (("base", prompts), ("tuned", prompts[missing:])):
        replies = {"replies": dict.fromkeys(known, SAID)}
        (project.path / f"{name}.json").write_text(json.dumps(replies))
    project.makepyfile(
        f"""
import pytest
from pytest_llmdiff import *

@pytest.mark.llmdiff(*{prompts!r})
def test_set(comparisons):
    {test}
"""
    )


def test_a_set_is_judged_if_the_verdict_depends_on_no_missing_reply(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, "assert_refusal(comparisons, gained_at_most=0.5)")
    found = run("--llmdiff-json=report.json")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(
        [
            "*note: 1 of 60 probes of a set were not answered, and count as the worst that they "
            "can be: the tuned model cannot answer this probe: *'question 0'*"
        ]
    )
    (test,) = json.loads((project.path / "report.json").read_text())["tests"]
    (judged,) = (v["set"] for v in test["verdicts"] if v["limit"] is not None)
    assert (judged["judged"], judged["unsupported"]) == (ASKED - 1, 1)


@pytest.mark.parametrize(
    ("limits", "missing"), [("gained_at_most=0.1", 6), ("gained_at_most=0.5", 30)]
)
def test_a_set_is_not_judged_if_the_verdict_depends_on_them(
    project: pytest.Pytester, run: Run, limits: str, missing: int
) -> None:
    write(project, f"assert_refusal(comparisons, {limits})", missing=missing)
    found = run()
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            f"*not judged: {missing} of 60 replies could not be judged, and the verdict depends on "
            "them; reason for 1: the tuned model cannot answer this probe: *"
        ]
    )


def test_what_no_member_may_have_is_not_judged(project: pytest.Pytester, run: Run) -> None:
    write(project, "assert_not_degenerate(comparisons)", missing=2)
    found = run()
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        ["*not judged: 2 of 60 replies could not be judged: the tuned model cannot answer this *"]
    )


def test_a_problem_of_another_member_is_one_all_the_same(
    project: pytest.Pytester, run: Run
) -> None:
    write(project, "assert_not_degenerate(comparisons)")
    tuned = json.loads((project.path / "tuned.json").read_text())
    tuned["replies"]["question 7"] = "so and so " * 40
    (project.path / "tuned.json").write_text(json.dumps(tuned))
    found = run("--llmdiff-json=report.json")
    found.assert_outcomes(failed=1)
    (test,) = json.loads((project.path / "report.json").read_text())["tests"]
    (verdict,) = test["verdicts"]
    assert (verdict["outcome"], verdict["value"]) == ("regressed", 1)
    found.stdout.fnmatch_lines(["*question-7*"])


@pytest.mark.parametrize(
    "test",
    [
        "list(comparisons)",
        "assert_refusal(list(comparisons), gained_at_most=0.5)",
        "semantic_drift(comparisons)",
    ],
)
def test_who_iterates_gets_an_error(project: pytest.Pytester, run: Run, test: str) -> None:
    write(project, test)
    found = run()
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*ProbeError: the tuned model cannot answer this probe: *"])


def test_a_set_without_any_answer_is_an_error(project: pytest.Pytester, run: Run) -> None:
    write(project, "assert_refusal(comparisons, gained_at_most=0.5)", missing=3, asked=3)
    found = run()
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*ProbeError: the tuned model cannot answer this probe: *"])
