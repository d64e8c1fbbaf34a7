"""Prompts and changed forms of them: what the tuned model takes otherwise and the base does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import (
    Comparison,
    ConfigError,
    Probe,
    Reply,
    assert_invariant,
    invariant,
    refusal,
)
from pytest_llmdiff.measures.invariance import flip_gained
from tests.support.projects import Run

A, B = "aaaa bbbb", "zzzz yyyy zzzz yyyy"
NO = "I'm sorry, but I can't help with that."
YES = "You can ask for a refund within 30 days."
SUITE = """
    import pytest
    from pytest_llmdiff import assert_invariant

    @pytest.mark.llmdiff(file="probes.jsonl")
    def test_forms(comparisons):
        assert_invariant(comparisons, {arguments})
"""

# Replies of the base and of the tuned model to the original, and to its changed form.
Case = tuple[str, str, str, str]
KEPT: Case = (A, A, A, A)
BROKEN: Case = (A, A, A, B)
BOTH: Case = (A, A, B, B)
MENDED: Case = (A, A, B, A)


def models(folder: Path, cases: Sequence[Case]) -> None:
    """Scripted models and a file of pairs, a cluster each."""
    sides: dict[str, dict[str, str]] = {"base": {}, "tuned": {}}
    rows = []
    for n, (base, tuned, base_form, tuned_form) in enumerate(cases):
        for kind, said in (("question", (base, tuned)), ("form", (base_form, tuned_form))):
            prompt = f"{kind} {n}"
            sides["base"][prompt], sides["tuned"][prompt] = said
            rows.append(json.dumps({"prompt": prompt, "cluster": str(n), "id": f"{kind}-{n}"}))
    for name, replies in sides.items():
        (folder / f"{name}.json").write_text(json.dumps({"replies": replies, "default": "?"}))
    (folder / "probes.jsonl").write_text("\n".join(rows) + "\n")


def verdicts(project: pytest.Pytester) -> list[dict[str, Any]]:
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return [verdict for test in report["tests"] for verdict in test["verdicts"]]


def pair(base: str, tuned: str, prompt: str = "Help me.") -> Comparison:
    probe = Probe(id=prompt, messages=({"role": "user", "content": prompt},))
    return Comparison(probe=probe, base=Reply(text=base), tuned=Reply(text=tuned))


class Lengths:
    """An embedder: long texts are far from short ones."""

    def encode(self, texts: list[str]) -> list[list[float]]:
        return [[9.0, float(len(text))] for text in texts]


@pytest.mark.parametrize(
    ("case", "arguments", "outcome"),
    [
        (KEPT, {"at_most": 0}, "passed"),
        (BROKEN, {"at_most": 0.05}, "loss 0.058, limit 0.05"),
        (BROKEN, {"at_most": 2}, "passed"),
        (BOTH, {"at_most": 0}, "passed"),
        (MENDED, {"at_most": 0}, "passed"),
        ((A, A, A, ""), {"at_most": 2}, "tuned model, the reply to the changed prompt: an empty"),
        (("", A, A, A), {"at_most": 2}, "base model, the reply to the original prompt: an empty"),
        ((A, "", A, ""), {"at_most": 0}, "passed"),
        ((YES, YES, YES, NO), {"flips_at_most": 0}, "refusal flip gained 1, limit 0"),
        ((YES, NO, YES, YES), {"flips_at_most": 0}, "refusal flip gained 1, limit 0"),
        ((YES, NO, YES, NO), {"flips_at_most": 0}, "passed"),
        ((YES, YES, NO, NO), {"flips_at_most": 0}, "passed"),
        ((YES, YES, YES, ""), {"flips_at_most": 0}, "not judged: the tuned reply is empty"),
        (KEPT, {}, "has no limit: give one in the test, such as at_most=0.2"),
    ],
)
def test_one_pair(case: Case, arguments: dict[str, float], outcome: str) -> None:
    base, tuned, base_form, tuned_form = case
    original, form = pair(base, tuned), pair(base_form, tuned_form, "help me")
    if outcome == "passed":
        assert_invariant(original, form, scorer=Lengths(), **arguments)
        return
    with pytest.raises(AssertionError, match=outcome):
        assert_invariant(original, form, scorer=Lengths(), **arguments)


def test_a_failure_shows_both_forms(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [BROKEN])
    project.makepyfile(
        """
        from pytest_llmdiff import assert_invariant

        def test_it(llm_pair):
            assert_invariant(*llm_pair.compare_all(["question 0", "form 0"]), at_most=0.25)
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *invariance loss *, limit 0.25 (given in the test)",
         "E *original question 0",
         f"E * base     {A}", f"E * tuned    {A}",
         "E *changed  form 0",
         f"E * base     ▸{A}", f"E * tuned    ▸{B}",
         "  - the wording of a prompt matters more than it did*"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cases", "outcome"),
    [
        ([KEPT] * 80, "passed"),
        ([KEPT] * 40 + [BROKEN] * 40, "regressed"),
        # What breaks with the one is made up for by the other: the mean does not move.
        ([MENDED] * 40 + [BROKEN] * 40, "inconclusive"),
        ([BOTH] * 80, "passed"),
        ([KEPT] * 70 + [BROKEN] * 10, "inconclusive"),
    ],
)
def test_a_set(project: pytest.Pytester, run: Run, cases: list[Case], outcome: str) -> None:
    models(project.path, cases)
    project.makepyfile(SUITE.format(arguments="at_most=0.1"))
    run("--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert (found["name"], found["outcome"]) == ("invariance loss", outcome)
    assert found["set"]["judged"] == len(cases)


def test_flips_of_a_set(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(YES, YES, YES, YES)] * 60 + [(YES, YES, YES, NO)] * 30)
    project.makepyfile(SUITE.format(arguments="flips_at_most=0.1"))
    run("--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert (found["name"], found["outcome"]) == ("refusal flip gained rate", "regressed")
    assert found["value"] == pytest.approx(1 / 3)
    assert found["p"] < 0.001
    assert found["details"] == {
        "refusal flip gained": 30, "refusal flip lost": 0, "moved": "refusal flip gained",
        "opposite": "refusal flip lost", "net": 30,
    }  # fmt: skip


def test_the_same_reply_to_both_forms_is_no_flip() -> None:
    """The detector needs the question to read a reply that was cut, and reads only one form."""
    cut, question = "I'm sorry, but I can't h", "陆地上跑得最快的动物是什么？"
    first, other = (pair(YES, cut, prompt) for prompt in (question, f"{question}？？"))
    read = [m.details["tuned"] for m in (refusal(first), refusal(other))]
    assert read[0] != read[1], "otherwise this shows nothing"
    assert invariant(first, other, scorer=Lengths()).details["tuned_flips"] is False


def test_unclear_replies_that_equal_the_base_s_gain_no_flip() -> None:
    """Of which it is unknown whether they refuse, but not whether anything changed."""
    task = "Translate to English: Dziękuję, ale to pytanie jest za trudne."
    first, other = (pair(NO, NO, prompt) for prompt in (task, f"{task} Please."))
    assert "unclear" in str(refusal(other).unsupported)
    same = invariant(first, other, scorer=Lengths())
    assert (same.details["flips_unsupported"], flip_gained(same).value) == (None, 0)
    changed = invariant(first, pair(NO, YES, other.probe.prompt), scorer=Lengths())
    assert "unclear" in changed.details["flips_unsupported"]


def test_limits_from_a_baseline(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [BROKEN] * 30 + [KEPT] * 60)
    project.makepyfile(SUITE.format(arguments=""))
    run("--llmdiff-calibrate=baseline.json").assert_outcomes(passed=1)
    run("--llmdiff-baseline=baseline.json", "--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert found["outcome"] == "regressed"
    assert found["source"].startswith("baseline ")


def test_several_forms_of_one_prompt_are_one_question(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [])
    rows = [{"prompt": f"{kind} {n}", "cluster": str(n)} for n in range(20) for kind in "abcd"]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (project.path / "probes.jsonl").write_text(text, encoding="utf-8")
    project.makepyfile(SUITE.format(arguments="at_most=1"))
    run("--llmdiff-json=report.json").assert_outcomes(passed=1)
    (found,) = verdicts(project)
    assert (found["set"]["judged"], found["set"]["clusters"]) == (60, 20)


def test_repeats_go_with_those_of_the_original(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [KEPT] * 30)
    project.makepyfile(SUITE.format(arguments="at_most=1"))
    sampled = ("--llmdiff-temperature=1", "--llmdiff-samples=3")
    run("--llmdiff-json=report.json", *sampled).assert_outcomes(passed=1)
    (found,) = verdicts(project)
    assert (found["set"]["judged"], found["set"]["clusters"]) == (90, 30)


# Sets that are none


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a"}], "*give both the same cluster, the original first*"),
        ([{"prompt": "a", "cluster": "1"}], "*cluster '1' has only one prompt*"),
        ([{"prompt": p, "cluster": c} for p, c in ("a1", "b1", "c2", "d2", "e1")],
         "*prompts of cluster '1' are not consecutive*"),
    ],
)  # fmt: skip
def test_clusters_that_are_no_pairs(
    project: pytest.Pytester, run: Run, rows: list[dict[str, str]], message: str
) -> None:
    models(project.path, [])
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (project.path / "probes.jsonl").write_text(text, encoding="utf-8")
    project.makepyfile(SUITE.format(arguments="at_most=1"))
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


def test_the_twin() -> None:
    original, form = pair(A, A), pair(A, "z" * 90, "help me")
    one = invariant(original, form, scorer=Lengths())
    assert one.details["original"] == "Help me."
    assert one.details["base"] == 0
    assert float(one) == one.details["tuned"] > 0
    (other,) = invariant([(original, form)], scorer=Lengths())
    assert other == one


def test_subjects_that_are_none() -> None:
    with pytest.raises(ConfigError, match="two comparisons, or one set of pairs"):
        assert_invariant([pair(A, A)], pair(A, A), at_most=0)
    with pytest.raises(ConfigError, match="the original of this prompt is not known"):
        assert_invariant(pair(A, A), at_most=0)
    with pytest.raises(ConfigError, match=r"pairs of comparisons, \(original, perturbed\)"):
        assert_invariant([(pair(A, A), "a text")], at_most=0)  # type: ignore[arg-type]
