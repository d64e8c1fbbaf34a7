"""Accuracy: when a reply is right, and what a set of them shows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff import (
    Comparison,
    ConfigError,
    Probe,
    Reply,
    ScorerError,
    accuracy,
    assert_accuracy,
)
from pytest_llmdiff.data.messages import Message
from tests.support.projects import Run
from tests.support.scored_sets import judged

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip


def pair(tuned: str, reference: str | None = "42", *, base: str = "none", n: int = 0) -> Comparison:
    prompt: Message = {"role": "user", "content": f"question {n}"}
    probe = Probe(id=f"probe-{n}", messages=(prompt,), reference=reference)
    return Comparison(probe=probe, base=Reply(text=base), tuned=Reply(text=tuned))


@pytest.mark.parametrize(
    ("correct", "reference", "tuned", "right"),
    [
        (None, "1000", "It is 1,000.", True),
        (None, "1000", "It is 10000.", False),
        ("contains", "巴黎", "首都是巴黎。", True),
        ("regex", r"(?i)^paris\b", "Paris, of course", True),
        ("regex", r"(?i)^paris\b", "It is Paris", False),
        ("json", '{"a": 1, "b": [2]}', '```json\n{"b": [2.0], "a": 1}\n```', True),
        ("json", '{"a": 1}', '{"a": true}', False),
        ("json", '{"a": 1}', "a is 1", False),
        ("json", "1", '"1"', False),
    ],
)
def test_when_a_reply_is_right(correct: Any, reference: str, tuned: str, right: bool) -> None:
    found = accuracy(pair(tuned, reference), correct=correct)
    assert found.value == right
    assert found.details == {"base": 0.0, "tuned": float(right)}


@given(JSONS)
def test_json_in_any_form_is_the_same(value: Any) -> None:
    forms = json.dumps(value), json.dumps(value, indent=2, sort_keys=True)
    assert accuracy(pair(forms[0], forms[1]), correct="json").value == 1


def test_a_callable_says_what_is_right() -> None:
    def shares(reply: str, probe: Probe) -> float:
        return len(reply) / 10 if probe.id == "probe-0" else False

    assert accuracy(pair("12345"), correct=shares).value == 0.5
    assert accuracy(pair("12345", n=1), correct=shares).value == 0
    for wrong in (2, -0.1, math.nan, None, "yes"):
        with pytest.raises(ScorerError, match="True or False, or a share from 0 to 1"):
            accuracy(pair("a"), correct=lambda *_, wrong=wrong: wrong)


def test_what_cannot_be_judged() -> None:
    for correct in (None, "regex"):
        found = accuracy(pair("42", None), correct=correct)
        assert "reference" in (found.unsupported or "")
        assert math.isnan(found.value)
    with pytest.raises(ConfigError, match=r"the reference '\(' is not a regular expression"):
        accuracy(pair("42", "("), correct="regex")
    with pytest.raises(ConfigError, match=r"the reference .* takes more than 1 second on a reply"):
        accuracy(pair("a" * 5000, "^(([a-z])+.)+[A-Z]([a-z])+$"), correct="regex")
    with pytest.raises(ConfigError, match="the reference 'a' is not JSON"):
        accuracy(pair("42", "a"), correct="json")
    with pytest.raises(ConfigError, match=r"'containz': give .*did you mean contains\?"):
        accuracy(pair("42"), correct="containz")
    with pytest.raises(ConfigError, match="'containz' is not hf:LOCATION#LABEL or python:"):
        accuracy_in_run("containz")


def accuracy_in_run(correct: str) -> None:
    from pytest_llmdiff.scorers.opening import check_scorer

    check_scorer("score", correct, Path())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"drop_at_most": -0.1}, "drop_at_most=-0.1: give a number from 0 to less than 1"),
        ({"drop_at_most": 1}, "drop_at_most=1: give a number from 0 to less than 1"),
        ({"gain_at_least": 0}, "gain_at_least=0: give a number more than 0 and at most 1"),
        ({"at_least": 80}, "at_least=80: give a number more than 0 and at most 1"),
        ({"at_least": True}, "at_least=True: give a number"),
        ({"drop_at_most": math.nan}, "drop_at_most=nan: give a number"),
    ],
)
def test_limits_that_make_no_sense(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assert_accuracy([pair("42")], **limits)


def test_one_comparison_is_no_set() -> None:
    with pytest.raises(ConfigError, match=r"judges a set: .* measured by accuracy"):
        assert_accuracy(pair("42"), at_least=1)


RIGHT, WRONG = "It is 42.", "It is 7."


@pytest.mark.parametrize(
    ("sides", "limit", "outcome", "value"),
    [
        # What was gained makes up for what was lost: the change is net.
        ([(RIGHT, WRONG)] * 10 + [(WRONG, RIGHT)] * 40 + [(RIGHT, RIGHT)] * 50,
         "drop_at_most=0.05", "passed", -0.3),
        ([(RIGHT, WRONG)] * 40 + [(WRONG, RIGHT)] * 10 + [(RIGHT, RIGHT)] * 50,
         "drop_at_most=0.05", "regressed", 0.3),
        ([(WRONG, RIGHT)] * 30 + [(RIGHT, RIGHT)] * 70, "gain_at_least=0.05", "passed", 0.3),
        ([(WRONG, RIGHT)] * 7 + [(RIGHT, RIGHT)] * 93, "gain_at_least=0.05", "inconclusive", 0.07),
        ([(WRONG, WRONG)] * 20 + [(RIGHT, RIGHT)] * 80, "gain_at_least=0.05", "regressed", 0),
        ([(RIGHT, RIGHT)] * 95 + [(WRONG, WRONG)] * 5, "at_least=0.8", "passed", 0.95),
        ([(RIGHT, RIGHT)] * 50 + [(WRONG, WRONG)] * 50, "at_least=0.8", "regressed", 0.5),
    ],
)  # fmt: skip
def test_a_set(
    project: pytest.Pytester, run: Run, sides: list[tuple[str, str]], limit: str, outcome: str,
    value: float,
) -> None:  # fmt: skip
    found, _ = judged(project, run, sides, f"assert_accuracy(comparisons, {limit})")
    assert (found["outcome"], found["value"]) == (outcome, pytest.approx(value))
    if not limit.startswith("at_least"):
        gained, lost = sides.count((WRONG, RIGHT)), sides.count((RIGHT, WRONG))
        ways = {"answers gained": gained, "answers lost": lost}
        assert {name: found["details"][name] for name in ways} == ways
        shares = [sum(side[place] == RIGHT for side in sides) / len(sides) for place in (0, 1)]
        if limit.startswith("gain"):
            assert [found["details"][side] for side in ("base", "tuned")] == shares


def test_a_failure_names_what_is_wrong(project: pytest.Pytester, run: Run) -> None:
    sides = [(RIGHT, RIGHT)] * 30 + [(RIGHT, WRONG)] * 20
    found, result = judged(project, run, sides, "assert_accuracy(comparisons, at_least=0.9)")
    assert found["outcome"] == "regressed"
    assert next(member["probe"] for member in found["set"]["worst"]).startswith("question-3")
    result.stdout.fnmatch_lines(
        ["E *accuracy of 50 comparisons: 0.60, * at least 0.9*", "E *worst * question-3*"]
    )
    assert all(member["value"] == 1 for member in found["set"]["worst"])


def test_without_a_limit_it_says_how_to_get_one(project: pytest.Pytester, run: Run) -> None:
    sides = [(RIGHT, RIGHT)] * 10
    _, result = judged(project, run, sides, "assert_accuracy(comparisons)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *accuracy drop *has no limit: *drop_at_most=0.05*"])
