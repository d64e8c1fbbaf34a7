"""Both replies token by token: against the models themselves, in failures and in reports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.pair.first_differences import Ending
from pytest_llmdiff.explain.tokens.candidates import CANDIDATES, candidates, shown
from pytest_llmdiff.explain.tokens.views import token_views
from tests.support.engines import folder as folder
from tests.support.engines import loaded, pair, replies, request
from tests.support.projects import BASE, CAPITAL, REFUND, TUNED, Run, write_models

SUITE = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_answers(comparison):
    assert_semantic_drift(comparison, at_most=0.01)
"""


def seen(found: dict[str, Any], side: str, column: int) -> list[float]:
    return [token[column] for token in found[side]]


@pytest.mark.parametrize("tuned", ["adapter", "other"])
def test_it_is_what_the_models_say(folder: Path, tmp_path: Path, tuned: str) -> None:
    import torch

    both: Any = pair(folder, "base", tuned, tmp_path)
    asked = request("What is the capital of France?")
    ours, theirs = (replies(side, [asked])[0].reply for side in (both.base, both.tuned))
    assert ours is not None
    assert theirs is not None
    own, other = [Ending(text=r.text, token_ids=r.token_ids) for r in (ours, theirs)]
    (found,) = token_views(both, [(asked.messages, own, other)])
    assert found["at"] == next(
        n for n, (a, b) in enumerate(zip(ours.token_ids, theirs.token_ids, strict=False)) if a != b
    )
    prompt = both.base.render(asked.messages)
    where = (
        (folder / "base", folder / "adapter") if tuned == "adapter" else (folder / "other", None)
    )
    models = loaded(folder / "base", None), loaded(*where)
    for side, reply in (("base", ours), ("tuned", theirs)):
        ids = torch.tensor([[*prompt, *reply.token_ids]])
        with torch.no_grad():
            p, q = (m(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1) for m in models)
        token = ids[0, len(prompt) :, None]
        assert seen(found, side, 1) == pytest.approx((p.exp() * (p - q)).sum(-1).tolist(), abs=1e-4)
        assert seen(found, side, 2) == pytest.approx(p.gather(-1, token)[:, 0].tolist(), abs=1e-4)
        assert seen(found, side, 3) == pytest.approx(q.gather(-1, token)[:, 0].tolist(), abs=1e-4)
        if side == "base":
            for name, row in (("base", p), ("tuned", q)):
                likely = found["likely"][name]
                assert len(likely) == CANDIDATES
                assert [chance for _, chance in likely] == pytest.approx(
                    row[found["at"]].exp().topk(CANDIDATES).values.tolist(), abs=1e-4
                )
        for place, (_, _, _, _, nexts) in enumerate(found[side]):
            # The reply's own token is among those of the model that said it: decoding is greedy.
            name = (both.base if side == "base" else both.tuned).token_text(int(token[place, 0]))
            chances = [float(x[place, token[place, 0]].exp()) for x in (p, q)]
            same = [both_chances for text, *both_chances in nexts if text == name]
            assert pytest.approx(chances, abs=1e-4) in same  # several tokens may have one text


def test_candidates_of_vocabularies_of_other_sizes() -> None:
    """A token that a model has not is impossible there, and padding is no candidate."""
    import torch

    base = torch.tensor([[0.5, 0.25, 0.25, 1.0]]).log()  # the last column is padding
    tuned = torch.tensor([[0.1, 0.9, 0.0]]).log()
    (found,) = candidates(base, tuned, 3, "abcd".__getitem__)
    assert {text: pytest.approx(chances) for text, *chances in found} == {
        "a": [0.5, 0.1], "b": [0.25, 0.9], "c": [0.25, 0.0],
    }  # fmt: skip
    grown = torch.tensor([[0.0, 0.1, 0.1, 0.8]]).log()
    (found,) = candidates(base[:, :3], grown, 3, "abcd".__getitem__)
    assert {text: chances for text, *chances in found}["d"] == pytest.approx([0.0, 0.8])
    assert len(found) <= 2 * CANDIDATES


def test_of_the_candidates_the_likely_ones_are_kept() -> None:
    found = [("a", 0.6, 0.001), ("b", 0.001, 0.9), ("c", 0.004, 0.004), ("d", 0.1, 0.0)]
    assert [text for text, *_ in shown(found)] == ["b", "a", "d"]
    assert shown([("a", 0.001, 0.0005), ("b", 0.0005, 0.001)]) != []


def test_replies_that_are_the_same_part_nowhere(folder: Path, tmp_path: Path) -> None:
    both = pair(folder, "base", "noop", tmp_path)
    asked = request("Hi")
    reply = replies(both.base, [asked])[0].reply
    assert reply is not None
    same = Ending(text=reply.text, token_ids=reply.token_ids)
    (found,) = token_views(both, [(asked.messages, same, same)])
    assert (found["at"], found["likely"]) == (None, None)
    assert max(seen(found, "base", 1)) < 1e-5


def test_models_that_take_turns_in_memory_see_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (Message(role="user", content="Tell me a story!"),)
    own, other = Ending(text="Once upon a time"), Ending(text="Once more")
    found = []
    for fits in (True, False):
        both = pair(folder, "base", "other", tmp_path / str(fits))
        monkeypatch.setitem(both.__dict__, "fits", fits)
        (view,) = token_views(both, [(asked, own, other)])
        found.append(view)
    assert json.loads(json.dumps(found[0]), parse_float=lambda x: round(float(x), 4)) == json.loads(
        json.dumps(found[1]), parse_float=lambda x: round(float(x), 4)
    )


def test_a_failure_and_the_report_have_it(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(['E         likely   base "Y" 100 %; tuned "W" 100 %'])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    views = {c["prompt"]: c["seen"] for test in report["tests"] for c in test["comparisons"]}
    assert views[CAPITAL] is None, "it has passed"
    view = views[REFUND]
    assert (view["at"], view["base_likely"]) == (0, [["Y", 1.0]])
    assert "".join(text for text, *_ in view["tuned"]) == TUNED["replies"][REFUND]
    assert all(math.isfinite(x) for _, *numbers in view["base"] for x in numbers)


@pytest.mark.parametrize(("explain", "count"), [("none", 0), ("failed", 1), ("all", 2)])
def test_what_is_explained_is_the_users_to_say(
    project: pytest.Pytester, run: Run, explain: str, count: int
) -> None:
    known = {"divergences": {REFUND: 2.0, CAPITAL: 0.1}}
    write_models(project.path, BASE | known, TUNED | known)
    project.makepyfile(SUITE)
    run(f"--llmdiff-explain={explain}", "--llmdiff-json=report.json")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    views = [c["seen"] for test in report["tests"] for c in test["comparisons"]]
    assert sum(view is not None for view in views) == count


def test_many_failures_are_not_all_shown(project: pytest.Pytester) -> None:
    prompts = [f"question {number}" for number in range(53)]
    for side, reply in (("base", "yes"), ("tuned", "not at all")):
        known = {"default": reply, "divergences": dict.fromkeys(prompts, 1.0)}
        (project.path / f"{side}.json").write_text(json.dumps(known), encoding="utf-8")
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff(*{prompts!r})
        def test_each(comparison):
            assert_divergence(comparison, at_most=0.1)
        """
    )
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    result = project.runpytest_inprocess(*models, "--llmdiff-json=report.json")
    result.assert_outcomes(failed=53)
    told = "explanations are limited to 5 token by token; --llmdiff-explain=all*"
    result.stdout.fnmatch_lines([told])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    views = [c["seen"] for test in report["tests"] for c in test["comparisons"]]
    assert sum(view is not None for view in views) == 5


def test_a_recording_has_it(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    run("--llmdiff-record=run.jsonl").assert_outcomes(passed=1, failed=1)
    spec = "replay:run.jsonl"
    result = project.runpytest_inprocess(
        f"--llm-base={spec}", f"--llm-tuned={spec}", "--llmdiff-store=fresh"
    )
    result.stdout.fnmatch_lines(['E         likely   base "Y" 100 %; tuned "W" 100 %'])


def test_the_worst_members_of_a_failing_set_are_shown(project: pytest.Pytester, run: Run) -> None:
    prompts = [f"question {number}" for number in range(40)]
    apart = {prompt: 2.0 if number in (7, 30) else 1.0 for number, prompt in enumerate(prompts)}
    base = {"default": "yes", "divergences": apart}
    tuned = {"default": "not at all", "divergences": apart}
    write_models(project.path, base, tuned)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff(*{prompts!r})
        def test_all(comparisons):
            assert_divergence(comparisons, at_most=0.1)
        """
    )
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E         worst    2 question-7-*",
            'E           likely   base "y" 100 %; tuned "n" 100 %',
            "E         worst    2 question-30-*",
        ]
    )
    (test,) = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["tests"]
    shown = [c["prompt"] for c in test["comparisons"] if c["seen"]]
    assert shown == ["question 0", "question 7", "question 30"]


def test_the_summary_tells_what_explaining_took(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(SUITE)
    monkeypatch.setattr("pytest_llmdiff.explain.explainer.NOTED", 0.0)
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    told = "explaining took * s (token by token * s); --llmdiff-explain=none skips it"
    project.runpytest_inprocess(*models).stdout.fnmatch_lines([told])
    result = project.runpytest_inprocess(*models, "--llmdiff-explain=none")
    result.stdout.no_fnmatch_line("explaining took*")
