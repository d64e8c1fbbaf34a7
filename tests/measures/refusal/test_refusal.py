"""Refusals that tuning brought and took: of one comparison and of a set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import Comparison, Probe, Reply, refusal
from pytest_llmdiff.measures.refusal.refusal import LABELLED
from pytest_llmdiff.verdicts.misclassification import rate_bounds
from tests.support.projects import Run

ANSWER = "You can ask for a refund within 30 days of delivery."
PART = "I can't write your essay, but I can help you with an outline."
NO = "I'm sorry, but I can't help with that."
CHINESE_NO = "抱歉，我不能帮助你。"
CHINESE_ANSWER = "当然可以，您可以在三十天内退款。"


def models(folder: Path, sides: Sequence[tuple[str, str]]) -> None:
    """Scripted models with these replies (base, tuned) to numbered prompts, and a file of them."""
    for index, name in enumerate(("base", "tuned")):
        replies = {f"question {n}": pair[index] for n, pair in enumerate(sides)}
        (folder / f"{name}.json").write_text(json.dumps({"replies": replies, "default": "?"}))
    rows = [json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(len(sides))]
    (folder / "probes.jsonl").write_text("".join(rows))


def suite(project: pytest.Pytester, fixture: str, arguments: str) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_refusal

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_refusals({fixture}):
            assert_refusal({fixture}, {arguments})
        """
    )


def verdicts(project: pytest.Pytester) -> list[dict[str, Any]]:
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    return [verdict for test in report["tests"] for verdict in test["verdicts"]]


GAINED, LOST = "gained_at_most=0", "lost_at_most=0"


@pytest.mark.parametrize(
    ("base", "tuned", "arguments", "outcome"),
    [
        (ANSWER, NO, GAINED, "regressed"),
        (ANSWER, NO, "gained_at_most=1", "passed"),
        (ANSWER, NO, LOST, "passed"),
        (NO, ANSWER, LOST, "regressed"),
        (NO, ANSWER, GAINED, "passed"),
        (NO, NO, f"{GAINED}, {LOST}", "passed"),
        (ANSWER, PART, GAINED, "regressed"),
        (ANSWER, PART, f"{GAINED}, full_only=True", "passed"),
        (PART, NO, GAINED, "passed"),
        (PART, NO, f"{GAINED}, full_only=True", "regressed"),
        (NO, PART, f"{LOST}, full_only=True", "regressed"),
        (CHINESE_ANSWER, CHINESE_NO, GAINED, "regressed"),
        (ANSWER, "", GAINED, "not_judged"),
        ("", NO, GAINED, "not_judged"),
        (ANSWER, "Я не могу с этим помочь.", GAINED, "not_judged"),
        (ANSWER, NO, "", "no_limit"),
    ],
)
def test_one_comparison(
    project: pytest.Pytester, base: str, tuned: str, arguments: str, outcome: str
) -> None:
    models(project.path, [(base, tuned)])
    suite(project, "comparison", arguments)
    project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-json=report.json",
    )  # fmt: skip
    found = verdicts(project)
    assert outcome in {verdict["outcome"] for verdict in found}
    assert {verdict["outcome"] for verdict in found} <= {outcome, "passed"}


def test_no_limit_says_how_to_give_one(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(ANSWER, ANSWER)])
    suite(project, "comparison", "")
    run().stdout.fnmatch_lines(
        ["E *refusal gained 0 has no limit*such as gained_at_most=0, or*; refusal lost 0 has no *"
         "such as lost_at_most=0, or*"]
    )  # fmt: skip


MANY = [(ANSWER, ANSWER)] * 90
REFUSED = [(NO, NO)] * 60


@pytest.mark.parametrize(
    ("sides", "outcomes"),
    [
        (MANY + REFUSED + [(ANSWER, NO)] * 30, ("regressed", "passed")),
        (MANY + REFUSED + [(NO, ANSWER)] * 30, ("passed", "regressed")),
        # As many one way as the other: neither makes up for the other.
        (MANY + REFUSED + [(NO, ANSWER), (ANSWER, NO)] * 30, ("regressed", "regressed")),
        (MANY + [(NO, NO)] * 30, ("passed", "passed")),
        (MANY + REFUSED + [(ANSWER, NO)] * 8, ("inconclusive", "passed")),
        # Few cases that can move do not drown in the others.
        (MANY + [(NO, ANSWER)] * 5, ("passed", "regressed")),
        (MANY + [(NO, NO)] * 5, ("passed", "not_judged")),
        (MANY, ("passed", "not_judged")),
        (REFUSED + [(ANSWER, NO)] * 5, ("regressed", "passed")),
        (REFUSED + [(ANSWER, ANSWER)] * 5, ("not_judged", "passed")),
    ],
)
def test_a_set(
    project: pytest.Pytester, run: Run, sides: list[tuple[str, str]], outcomes: tuple[str, str]
) -> None:
    models(project.path, sides)
    suite(project, "comparisons", "gained_at_most=0.1, lost_at_most=0.1")
    run("--llmdiff-json=report.json")
    gained, lost = verdicts(project)
    assert (gained["name"], lost["name"]) == ("refusal gained rate", "refusal lost rate")
    assert (gained["outcome"], lost["outcome"]) == outcomes
    counts = sides.count((ANSWER, NO)), sides.count((NO, ANSWER))
    refusals = sum(base == NO for base, _ in sides)
    wholes = len(sides) - refusals, refusals
    for verdict, count, whole in zip((gained, lost), counts, wholes, strict=True):
        if whole and verdict["outcome"] != "not_judged":
            assert verdict["value"] == pytest.approx(count / whole)
        details = verdict["details"]
        assert (details["refusal gained"], details["refusal lost"]) == counts
        assert set(details["errors"]) == {"sensitivity", "specificity"}
        assert (verdict["p"] < 0.001) == (counts[0] != counts[1] and max(counts) == 30)


def test_too_few_refusals_of_the_base_say_how_many_are_needed(
    project: pytest.Pytester, run: Run
) -> None:
    models(project.path, MANY + [(NO, NO)] * 5)
    suite(project, "comparisons", "lost_at_most=0.1")
    run().stdout.fnmatch_lines(
        ["E *refusal lost rate not judged: *of the base: 5 of 95, and 29 are needed*at most 0.1*"]
    )


def test_the_interval_allows_for_the_detector_s_errors(project: pytest.Pytester, run: Run) -> None:
    others = [(ANSWER, f"{ANSWER} Write to us.")] * 90  # differ, and so may be misread
    models(project.path, others + [(ANSWER, NO)] * 30)
    suite(project, "comparisons", "gained_at_most=0.15")
    run("--llmdiff-json=report.json")
    (gained,) = verdicts(project)
    plain_low, plain_high = rate_bounds(120, 0.25)
    assert gained["set"]["low"] < plain_low < plain_high <= gained["set"]["high"]
    assert "Rogan and Gladen" in gained["set"]["method"]
    assert gained["details"]["errors"]["sensitivity"] == LABELLED["any"].sensitivity


def test_replies_that_equal_the_base_s_have_no_errors(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(ANSWER, ANSWER)] * 29)
    suite(project, "comparisons", "gained_at_most=0.1")
    run("--llmdiff-json=report.json")
    (gained,) = verdicts(project)
    assert gained["outcome"] == "passed"
    assert gained["set"]["high"] == pytest.approx(rate_bounds(29, 0)[1], abs=1e-3)


ODD = ("", "...", "😂😂", "لا أستطيع المساعدة في هذا.", "Das hängt ganz von den Umständen ab.")


def test_replies_that_nobody_can_judge_move_nothing_where_they_are_the_base_s(
    project: pytest.Pytester, run: Run
) -> None:
    models(project.path, [(ANSWER, ANSWER)] * 52 + [(text, text) for text in ODD])
    suite(project, "comparisons", "gained_at_most=0.1")
    run("--llmdiff-json=report.json").assert_outcomes(passed=1)
    (gained,) = verdicts(project)
    assert gained["details"]["refusal gained"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "Es tut mir leid, aber dabei kann ich Ihnen leider nicht helfen.",
        "Przykro mi, ale nie mogę pomóc w tej sprawie.",
        "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    ],
)
def test_languages_that_the_detector_does_not_know_are_not_judged(
    project: pytest.Pytester, run: Run, text: str
) -> None:
    models(project.path, [(ANSWER, text)] * 30)
    suite(project, "comparisons", "gained_at_most=0.1")
    run("--llmdiff-json=report.json").assert_outcomes(failed=1)
    (gained,) = verdicts(project)
    assert gained["outcome"] == "not_judged"


UNCLEAR = "Translate to English: Dziękuję, ale to pytanie jest za trudne."


def test_unclear_replies_count_both_ways(project: pytest.Pytester, run: Run) -> None:
    for unclear, outcome in ((1, "passed"), (12, "not_judged")):
        replies = {f"{UNCLEAR} {n}": NO for n in range(unclear)}
        (project.path / "tuned.json").write_text(
            json.dumps({"replies": replies, "default": ANSWER})
        )
        (project.path / "base.json").write_text(json.dumps({"default": ANSWER}))
        prompts = [*replies, *(f"question {n}" for n in range(90))]
        rows = [json.dumps({"prompt": prompt}) + "\n" for prompt in prompts]
        (project.path / "probes.jsonl").write_text("".join(rows))
        suite(project, "comparisons", "gained_at_most=0.1")
        run("--llmdiff-json=report.json")
        (found,) = verdicts(project)
        assert (found["outcome"], found["set"]["unsupported"]) == (outcome, unclear)


@pytest.mark.parametrize(
    ("sure", "unclear", "outcome"),
    [
        # Equal replies move nothing, whatever they say.
        ([(NO, NO)] * 40, [(NO, NO)] * 60, "passed"),
        # Of which the base may have refused any number: 5 of 5 lost, or 5 of 105.
        ([(NO, ANSWER)] * 5, [(NO, NO)] * 100, "not_judged"),
        ([(NO, NO)] * 5, [(NO, NO)] * 100, "not_judged"),
        ([(NO, NO)] * 40, [(NO, ANSWER)] * 60, "not_judged"),
    ],
)
def test_refusals_that_the_base_may_have(
    project: pytest.Pytester,
    run: Run,
    sure: list[tuple[str, str]],
    unclear: list[tuple[str, str]],
    outcome: str,
) -> None:
    prompts = {f"question {n}": side for n, side in enumerate(sure)}
    prompts |= {f"{UNCLEAR} {n}": side for n, side in enumerate(unclear)}
    for index, name in enumerate(("base", "tuned")):
        replies = {prompt: side[index] for prompt, side in prompts.items()}
        (project.path / f"{name}.json").write_text(json.dumps({"replies": replies}))
    rows = [json.dumps({"prompt": prompt}) + "\n" for prompt in prompts]
    (project.path / "probes.jsonl").write_text("".join(rows))
    suite(project, "comparisons", "lost_at_most=0.1")
    run("--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert found["outcome"] == outcome


def test_a_detector_of_one_s_own(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        detector="def refuses(texts): return [float('NO WAY' in text) for text in texts]"
    )
    models(project.path, MANY + [(ANSWER, "NO WAY")] * 30 + [(ANSWER, NO)] * 30)
    suite(project, "comparisons", "gained_at_most=0.1")
    run("--llmdiff-refusal=python:detector:refuses", "--llmdiff-json=report.json")
    (gained,) = verdicts(project)
    assert gained["details"]["refusal gained"] == 30
    assert "unknown" in gained["details"]["errors"]
    assert "Rogan" not in gained["set"]["method"]
    run("--llmdiff-refusal=hf:folder").stderr.fnmatch_lines(["*'hf:folder' is not patterns, hf:*"])


def test_replies_that_cannot_be_judged_decide_nothing(project: pytest.Pytester, run: Run) -> None:
    models(project.path, MANY + [(ANSWER, "")] * 30)
    suite(project, "comparisons", "gained_at_most=0.1")
    run("--llmdiff-json=report.json")
    (found,) = verdicts(project)
    assert (found["outcome"], found["set"]["unsupported"]) == ("not_judged", 30)
    assert "the tuned reply is empty" in found["unsupported"]


def test_limits_from_a_baseline(project: pytest.Pytester, run: Run) -> None:
    models(project.path, MANY + REFUSED + [(ANSWER, NO)] * 60)
    suite(project, "comparisons", "")
    run("--llmdiff-calibrate=baseline.json").assert_outcomes(passed=1)
    run("--llmdiff-baseline=baseline.json", "--llmdiff-json=report.json")
    gained, lost = verdicts(project)
    assert (gained["outcome"], lost["outcome"]) == ("regressed", "passed")
    assert 0 < gained["limit"] < 0.05


def test_an_accepted_reply_takes_the_base_s_place(project: pytest.Pytester, run: Run) -> None:
    models(project.path, [(ANSWER, NO)])
    suite(project, "comparison", GAINED)
    run("--llmdiff-accept").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_the_twin() -> None:
    def pair(base: str, tuned: str) -> Comparison:
        probe = Probe(id="a", messages=({"role": "user", "content": "Help me."},))
        return Comparison(probe=probe, base=Reply(text=base), tuned=Reply(text=tuned))

    found = [refusal(pair(NO, ANSWER)), *refusal([pair(ANSWER, PART), pair(ANSWER, NO)])]
    assert [float(m) for m in found] == [0, 0.5, 1]
    assert [m.details["base"] for m in found] == ["full", "none", "none"]
