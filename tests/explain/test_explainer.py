"""What explanations cost: only the comparisons that are shown are computed, within the budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.explain.kind import Budget
from tests.support.projects import Run

PROMPTS = [f"question {number}" for number in range(40)]
WORST = {f"question {number}": "x" * number for number in (30, 31, 32)}
SET = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(*{PROMPTS!r})
def test_all(comparisons):
    assert_semantic_drift(comparisons, at_most=0.01)
"""
EACH = SET.replace("test_all(comparisons)", "test_each(comparison)").replace(
    "assert_semantic_drift(comparisons", "assert_semantic_drift(comparison"
)


@pytest.fixture
def asked(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The prompts that each explanation asked the scripted models about."""
    known = {
        "divergences": dict.fromkeys(PROMPTS, 1.0),
        "attention": {prompt: {"shift": 0.5} for prompt in PROMPTS},
    }
    for side, replies in (("base", {}), ("tuned", WORST)):
        script = known | {"default": "abc" if side == "base" else "abd", "replies": replies}
        (project.path / f"{side}.json").write_text(json.dumps(script), encoding="utf-8")
    found: dict[str, list[str]] = {"divergence": [], "token_view": [], "_attention": []}

    def counting(name: str, prompt_of: Callable[[Any], str]) -> None:
        plain = getattr(ScriptedEngine, name)

        def counted(engine: ScriptedEngine, given: Any, *rest: Any) -> Any:
            found[name].append(prompt_of(given))
            return plain(engine, given, *rest)

        monkeypatch.setattr(ScriptedEngine, name, counted)

    counting("divergence", lambda request: request.messages[-1]["content"])
    counting("token_view", lambda prompt: prompt)
    counting("_attention", lambda messages: messages[-1]["content"])
    return found


def test_only_the_shown_members_of_a_failing_set_are_computed(
    project: pytest.Pytester, asked: dict[str, list[str]]
) -> None:
    project.makepyfile(SET)
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    result = project.runpytest_inprocess(*models, "--llmdiff-json=report.json")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*llmdiff: divergences*")
    assert sorted(asked["token_view"]) == sorted(WORST)
    assert set(asked["divergence"]) == set(WORST)
    (most,) = set(asked["_attention"])  # that of the worst member alone
    assert most in WORST
    (test,) = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["tests"]
    shown = {c["prompt"] for c in test["comparisons"] if c["seen"]}
    assert shown == set(WORST)
    assert [c["prompt"] for c in test["comparisons"] if c["attention"]] == [most]

    # The store keeps them: a second run asks nothing, and shows the same.
    for prompts in asked.values():
        prompts.clear()
    again = project.runpytest_inprocess(*models, "--llmdiff-json=again.json")
    again.assert_outcomes(failed=1)
    assert not any(asked.values())
    (kept,) = json.loads((project.path / "again.json").read_text(encoding="utf-8"))["tests"]
    assert kept["comparisons"] == test["comparisons"]


def test_failures_that_are_explained_are_as_many_as_the_run_has_prompts_for(
    project: pytest.Pytester, asked: dict[str, list[str]]
) -> None:
    project.makepyfile(EACH)
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    result = project.runpytest_inprocess(*models)
    result.assert_outcomes(failed=40)
    result.stdout.fnmatch_lines(
        ["explanations are limited to 5 token by token, 1 with their attention; *"]
    )
    assert len(asked["token_view"]) == 5
    assert len(asked["divergence"]) == 5
    assert len(set(asked["_attention"])) == 1


def test_a_test_that_measures_the_divergence_still_has_that_of_all(
    run: Run, project: pytest.Pytester, asked: dict[str, list[str]], mode: list[str]
) -> None:
    project.makepyfile(SET.replace("semantic_drift", "divergence"))
    run("--llmdiff-json=report.json").assert_outcomes(failed=1)
    (test,) = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["tests"]
    (verdict,) = test["verdicts"]
    assert (verdict["set"]["judged"], verdict["value"]) == (40, 1.0)
    if not mode:  # the workers of xdist are other processes
        assert sorted(asked["divergence"]) == sorted(PROMPTS)


@given(least=st.integers(0, 5), per=st.integers(1, 99), more=st.integers(0, 50), n=st.integers(0))
def test_a_budget_grows_with_the_run_within_its_bounds(
    least: int, per: int, more: int, n: int
) -> None:
    budget = Budget(least=least, per=per, most=least + more)
    assert least <= budget.allows(n) <= least + more
    assert budget.allows(n) <= budget.allows(n + 1)
    assert budget.allows(n) <= max(least, n / per)
