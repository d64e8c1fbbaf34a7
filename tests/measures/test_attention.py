"""Where the models look, as the helpers judge it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdiff import ConfigError
from pytest_llmdiff.engines.scripted import ScriptedEngine
from tests.support.attention import view_of
from tests.support.json_schema import faults
from tests.support.projects import BASE, CAPITAL, REFUND, TUNED, Run, write_models

SUITE = f"""
import pytest
from pytest_llmdiff import assert_attends, assert_attention_shift

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_shift(comparison):
    assert_attention_shift(comparison, at_most=0.05)

@pytest.mark.llmdiff({REFUND!r})
@pytest.mark.parametrize("limits", [
    {{"at_least": 0.3}}, {{"at_most": 0.05}}, {{"drop_at_most": 0.2}}, {{"at_least": 0.05}}, {{}},
])
def test_words(comparison, limits):
    assert_attends(comparison, "REFUND", **limits)

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_set(comparisons):
    assert_attention_shift(comparisons, at_most=0.05)
"""
LOOKING = {
    "attention": {
        REFUND: {"shift": 0.2, "words": {"refund": [0.4, 0.1]}, "moves": [0.1, 0.3]},
        CAPITAL: {"shift": 0.01, "moves": [0.1, 0.1]},
    }
}


def looking(project: pytest.Pytester) -> None:
    write_models(project.path, BASE, TUNED | LOOKING)


def test_limits_hold_and_break(project: pytest.Pytester, run: Run) -> None:
    looking(project)
    project.makepyfile(SUITE)
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=2, failed=6)
    result.stdout.fnmatch_lines_random(
        [
            "E       AssertionError: attention shift 0.20, limit 0.05 (given in the test)",
            'E       AssertionError: attention to "REFUND" 0.1*, at least 0.30 (given in the test)',
            'E       AssertionError: attention to "REFUND" 0.1*, limit 0.05 (given in the test)',
            'E       AssertionError: attention drop on "REFUND" 0.30, limit 0.20 (given in the *',
            'E       AssertionError: attention drop on "REFUND" 0.30 has no *drop_at_most=0.1*',
            "E       AssertionError: attention shift of 2 comparisons: *inconclusive*",
        ]
    )
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    verdicts = {v["name"]: v for test in report["tests"] for v in test["verdicts"]}
    details = verdicts['attention to "REFUND"']["details"]
    assert details == pytest.approx({"missing": "", "base": 0.4, "change": -0.3})
    assert verdicts["attention shift"]["unit"] == "bits"


def test_a_set_is_judged_by_its_interval(project: pytest.Pytester, run: Run) -> None:
    prompts = [f"May I return parcel {number}?" for number in range(40)]
    known = {prompt: {"shift": 0.2, "words": {"return": [0.4, 0.2]}} for prompt in prompts}
    write_models(project.path, BASE, TUNED | {"attention": known})
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_attends, assert_attention_shift, attends

        pytestmark = pytest.mark.llmdiff(*{prompts!r})

        def test_wide(comparisons):
            assert_attention_shift(comparisons, at_most=0.5)
            assert_attends(comparisons, ["return", "refund"], at_least=0.05, drop_at_most=0.5)
            assert [m.details["missing"] for m in attends(comparisons, ["return", "refund"])] == (
                ["refund"] * 40
            )

        def test_narrow(comparisons):
            assert_attends(comparisons, "return", at_least=0.5)
        """
    )
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(['*attention to "return" of 40 comparisons: 0.20, *'])


def test_pairs_are_held_against_each_other(project: pytest.Pytester, run: Run) -> None:
    looking(project)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_attention_shift, attention_map, attention_shift

        def compared(llm_pair):
            return [llm_pair.compare(prompt) for prompt in ({REFUND!r}, {CAPITAL!r})]

        def test_moves(llm_pair):
            first, second = compared(llm_pair)
            assert_attention_shift(second, first, pair_at_most=0.1)

        def test_same(llm_pair):
            first, second = compared(llm_pair)
            assert_attention_shift(first, second, pair_at_most=0.1)
            found = attention_shift(second, first)
            assert float(found) == pytest.approx(0.2)
            assert (found.details["base"], found.details["tuned"]) == (0.1, 0.3)
            assert found.details["most_moved"] == "layer 0, head 0: 0.2 bits"
            told = attention_map(first, layer=0, head=0, original=second)
            assert "".join(told.reply) == second.base.text != first.base.text
            assert attention_shift([(second, first)], pairs=True) == [found]

        def test_both_limits(llm_pair):
            first, second = compared(llm_pair)
            assert_attention_shift(first, second, at_most=0.1, pair_at_most=0.1)

        @pytest.mark.llmdiff({REFUND!r})
        def test_alone(comparison):
            assert_attention_shift(comparison, pair_at_most=0.1)
        """
    )
    result = run()
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "E       AssertionError: attention shift of pairs 0.20, limit 0.10 (given in the test)",
            "E       *ConfigError: at_most= compares the tuned model with the base, pair_at_most=*",
            "E       *ConfigError: *: the original of this prompt is not known; *",
        ]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "delivery",
            "*ConfigError: *: the user's text *How do I get a refund?* does not contain *delivery*",
        ),
        ([], "*ConfigError: words: got []; expected a word of the prompt, or several"),
        (" ", "*ConfigError: words: got ' '; expected a word of the prompt, or several"),
    ],
)
def test_words_that_cannot_be_looked_at(
    project: pytest.Pytester, run: Run, words: object, said: str
) -> None:
    looking(project)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_attends

        @pytest.mark.llmdiff({REFUND!r})
        def test_it(comparison):
            assert_attends(comparison, {words!r}, at_least=0.1)
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E       {said}"])


def test_engines_that_do_not_tell(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_attention_shift, attention_map

        @pytest.mark.llmdiff({REFUND!r})
        def test_it(comparison):
            assert_attention_shift(comparison, at_most=0.1)

        @pytest.mark.llmdiff({REFUND!r})
        def test_map(comparison):
            attention_map(comparison, layer=0, head=0)
        """
    )
    result = run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E *CapabilityError: attention needs the base model's weights in this process, *"] * 2
    )


def test_a_comparison_made_by_hand_has_no_attention() -> None:
    from pytest_llmdiff import Comparison, ModelError, Probe, Reply, attention_shift

    probe = Probe(id="p", messages=({"role": "user", "content": "Hi"},))
    comparison = Comparison(probe=probe, base=Reply(text="a"), tuned=Reply(text="b"))
    with pytest.raises(ModelError, match="take comparisons from a fixture"):
        attention_shift(comparison)


def test_a_recording_has_it(project: pytest.Pytester, run: Run) -> None:
    looking(project)
    project.makepyfile(SUITE)
    run("--llmdiff-record=run.jsonl").assert_outcomes(passed=2, failed=6)
    spec = "replay:run.jsonl"
    result = project.runpytest_inprocess(
        f"--llm-base={spec}", f"--llm-tuned={spec}", "--llmdiff-store=fresh"
    )
    result.assert_outcomes(passed=2, failed=6)
    result.stdout.fnmatch_lines(["E       AssertionError: attention shift 0.20, limit 0.05 (*"])


def test_what_rounding_can_do_is_no_shift() -> None:
    from pytest_llmdiff.measures.attention.shift import shift_measurement

    view = view_of(["a"], [1.0], [1.0])
    rounded = shift_measurement(replace(view, shift=0.1, noise=0.1))
    moved = shift_measurement(replace(view, shift=0.1, noise=0.09))
    broken = shift_measurement(replace(view, shift=math.nan))
    silent = shift_measurement("no reply")
    assert math.isnan(broken.value), "it keeps no limit"
    assert (rounded.value, rounded.details["measured"], moved.value) == (0, 0.1, 0.1)
    assert silent.unsupported == "no reply"
    assert math.isnan(silent.value)


@pytest.mark.parametrize(
    "script", ['{"attention": 3}', '{"divergences": {"x": "1"}}', '{"likelihoods": {"x": true}}']
)
def test_a_broken_script_says_what_is_expected(tmp_path: Path, script: str) -> None:
    (tmp_path / "tuned.json").write_text(script, encoding="utf-8")
    with pytest.raises(ConfigError, match=r'"attention": \{PROMPT:'):
        ScriptedEngine.from_file(tmp_path / "tuned.json")


def test_a_failure_and_the_report_say_where_the_models_look(
    project: pytest.Pytester, run: Run
) -> None:
    looking(project)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_semantic_drift

        @pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
        def test_answers(comparison):
            assert_semantic_drift(comparison, at_most=0.01)
        """
    )
    result = run("--llmdiff-json=report.json")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ['E         attends  base → tuned: "refund" 0.40 → 0.10, *; layer 0, head 0 moved most *']
    )
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    looked = {c["prompt"]: c["attention"] for test in report["tests"] for c in test["comparisons"]}
    assert looked[CAPITAL] is None, "it has passed"
    assert looked[REFUND]["heads"] == [[0, 0, 0.2]]
    assert looked[REFUND]["words"][0] == ["refund", 0.4, 0.1]
    assert looked[REFUND]["shift"] == 0.2
    shown = looked[REFUND]["map"]
    assert "".join(shown["reply"]) == BASE["replies"][REFUND][:48]
    assert "".join(shown["keys"][slice(*shown["asked"])]) == REFUND
    assert looked[REFUND]["grid"] == {"layers": [0], "moved": [[0.2]], "spread": None}
    assert faults(report) == []


def test_a_map_of_a_passing_test_is_drawn_and_the_head_is_found(
    project: pytest.Pytester, run: Run
) -> None:
    looking(project)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import ConfigError, attention_map

        @pytest.mark.llmdiff({REFUND!r})
        def test_it(comparison):
            found = attention_map(comparison)
            assert (found.layer, found.head, found.sides) == (0, 0, ("base", "tuned"))
            assert found.grid.moved == ((0.2,),)
            assert "".join(found.keys[slice(*found.asked)]) == {REFUND!r}
            assert found.prompt == found.asked[1]
            assert found == attention_map(comparison, layer=0)
            assert attention_map(comparison, layer=0, head=0).grid is None
            found.save("head.html")
            found.save("head.png")
            with pytest.raises(ConfigError, match="head=1 without its layer"):
                attention_map(comparison, head=1)
        """
    )
    run().assert_outcomes(passed=1)
    assert "which tokens it attends to" in (project.path / "head.html").read_text(encoding="utf-8")
    assert (project.path / "head.png").read_bytes().startswith(b"\x89PNG")


def test_many_failures_are_not_all_shown(project: pytest.Pytester) -> None:
    prompts = [f"question {number}" for number in range(22)]
    told = {"attention": {prompt: {"shift": 0.5} for prompt in prompts}}
    write_models(project.path, {"default": "yes"}, {"default": "not at all"} | told)
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_attention_shift

        @pytest.mark.llmdiff(*{prompts!r})
        def test_each(comparison):
            assert_attention_shift(comparison, at_most=0.1)
        """
    )
    models = ["--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json"]
    result = project.runpytest_inprocess(*models, "--llmdiff-json=report.json")
    result.assert_outcomes(failed=22)
    note = "explanations are limited to 1 with their attention; --llmdiff-explain=all*"
    result.stdout.fnmatch_lines([note])
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    looked = [c["attention"] for test in report["tests"] for c in test["comparisons"]]
    assert sum(found is not None for found in looked) == 1
