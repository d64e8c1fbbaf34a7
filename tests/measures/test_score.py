"""A score of the user's own, of one comparison and of sets."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_llmdiff import Comparison, ConfigError, Probe, Reply, ScorerError, assert_score, score
from tests.support.projects import Run
from tests.support.scored_sets import judged


def length(texts: list[str]) -> list[float]:
    return [len(text) / 10 for text in texts]


class Latin:
    """Knows English alone; higher for shorter replies."""

    languages = ("en",)

    def score(self, texts: list[str]) -> list[float]:
        return [-float(len(text)) for text in texts]


def pair(base: str, tuned: str) -> Comparison:
    probe = Probe(id="a", messages=({"role": "user", "content": "How?"},))
    return Comparison(probe=probe, base=Reply(text=base), tuned=Reply(text=tuned))


def test_the_twin_measures_both_sides() -> None:
    found = score(pair("12345", "1234567890"), length)
    assert (found.name, found.value, found.details["base"]) == ("length", 1.0, 0.5)
    assert [m.value for m in score([pair("1", "12")] * 2, length)] == [0.2, 0.2]


@pytest.mark.parametrize(
    ("limits", "fails"),
    [
        ({"at_most": 0.8}, None), ({"at_most": 0.7}, "length 0.8, limit 0.7"),
        ({"at_least": 0.8}, None), ({"at_least": 0.9}, "length 0.8, at least 0.9"),
        ({"rise_at_most": 0.5}, None), ({"rise_at_most": 0.2}, "length rise 0.5, limit 0.2"),
        ({"fall_at_most": 0}, None), ({"gain_at_least": 0.5}, None),
        ({"gain_at_least": 0.6}, "length rise 0.5, at least 0.6"),
        ({"fall_at_most": 0, "gain_at_least": 0.4, "at_most": 0.9}, None),
        ({}, "has no limit"),
    ],
)  # fmt: skip
def test_one_comparison(limits: dict[str, Any], fails: str | None) -> None:
    subject = pair("123", "12345678")
    if fails is None:
        assert_score(subject, length, **limits)
        return
    with pytest.raises(AssertionError) as raised:
        assert_score(subject, length, **limits)
    # Two digits where they show the same.
    assert fails in str(raised.value).replace("0.80", "0.8").replace("0.50", "0.5").replace(
        "0.70", "0.7"
    ).replace("0.90", "0.9").replace("0.20", "0.2").replace("0.60", "0.6")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at_most": 1.5}, "at_most=1.5: give a number from 0 to less than 1"),
        ({"fall_at_most": -0.1}, "fall_at_most=-0.1: give a number from 0 to less than 1"),
        ({"at_most": 1}, "at_most=1: give a number from 0 to less than 1"),
        ({"at_least": 0}, "at_least=0: give a number more than 0 and at most 1"),
        ({"rise_at_most": 1}, "rise_at_most=1: give a number from 0 to less than 1"),
        ({"gain_at_least": 0}, "gain_at_least=0: give a number more than 0"),
        ({"over": 0.5, "at_most": 0.1}, "over= counts the members of a set"),
        ({"at_least": 0.6, "at_most": 0.4}, "no value is at least 0.6 and at most 0.4"),
        ({"gain_at_least": 0.2, "rise_at_most": 0.1}, "no value is at least 0.2 and at most 0.1"),
        ({"over": 2}, "over=2: give a number from 0 to 1"),
        ({"within": (1, 0)}, r"within=\(1, 0\): give the smallest and the largest"),
        ({"within": 5}, "within=5: give"),
    ],
)
def test_what_makes_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assert_score(pair("a", "b"), length, **arguments)


def test_a_score_out_of_its_range_is_an_error_and_none_is_not_judged() -> None:
    with pytest.raises(ScorerError, match=r"length returned 1.2 .* not from 0 to 1. Give within="):
        assert_score(pair("a", "1" * 12), length, at_most=0.9)
    assert score(pair("a", "1" * 12), length, within=(0, 2)).value == 1.2
    with pytest.raises(ScorerError, match="returned nan"):
        score(pair("a", "b"), lambda texts: [math.nan for _ in texts])
    with pytest.raises(AssertionError, match="not judged"):
        assert_score(pair("a", "b"), lambda texts: [None for _ in texts], at_most=0.9)

    def broken(_: list[str]) -> list[float]:
        raise RuntimeError("no such table")

    with pytest.raises(RuntimeError, match="no such table"):
        assert_score(pair("a", "b"), broken, at_most=0.9)


def test_a_language_that_the_scorer_does_not_know() -> None:
    subject = pair("This is an English reply.", "这是一个中文回复，没有英文。")
    with pytest.raises(AssertionError, match="Latin not judged"):
        assert_score(subject, Latin(), at_least=-100, within=(-math.inf, 0))


SHORT, LONG = "12", "123456789"


@pytest.mark.parametrize(
    ("sides", "arguments", "outcome", "value"),
    [
        ([(SHORT, SHORT)] * 100, "at_most=0.5", "passed", 0.2),
        ([(SHORT, LONG)] * 50 + [(SHORT, SHORT)] * 50, "rise_at_most=0.1", "regressed", 0.35),
        ([(SHORT, LONG)] * 50 + [(SHORT, SHORT)] * 50, "gain_at_least=0.1", "passed", 0.35),
        ([(LONG, SHORT)] * 50 + [(SHORT, SHORT)] * 50, "fall_at_most=0.1", "regressed", 0.35),
        ([(LONG, LONG)] * 50 + [(SHORT, SHORT)] * 50, "at_least=0.8", "regressed", 0.55),
        ([(SHORT, LONG)] * 30 + [(SHORT, SHORT)] * 70, "over=0.5, at_most=0.2", "regressed", 0.3),
        ([(LONG, SHORT)] * 30 + [(LONG, LONG)] * 70, "over=0.5, fall_at_most=0.1", "regressed",
         0.3),
        ([(SHORT, LONG)] * 30 + [(LONG, LONG)] * 70, "over=0.5, gain_at_least=0.1", "passed", 0.3),
        ([(SHORT, LONG)] * 3 + [(LONG, LONG)] * 97, "over=0.5, rise_at_most=0.1", "passed", 0.03),
    ],
)  # fmt: skip
def test_a_set(
    project: pytest.Pytester, run: Run, sides: list[tuple[str, str]], arguments: str,
    outcome: str, value: float,
) -> None:  # fmt: skip
    call = f"assert_score(comparisons, length, {arguments})"
    found, result = judged(project, run, sides, call)
    assert (found["outcome"], found["value"]) == (outcome, pytest.approx(value))
    if outcome == "regressed":
        result.stdout.fnmatch_lines(["E *worst *"])


def test_a_named_scorer_is_kept_in_the_store(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        own="""
        def brevity(texts):
            with open("scored.txt", "a") as file:
                file.write("".join(text + "\\n" for text in texts))
            return [1 / (1 + len(text)) for text in texts]
        """
    )
    call = 'assert_score(comparisons, "python:own:brevity", at_least=0.01)'
    sides = [(SHORT, LONG)] * 30
    for _ in range(2):
        found, _ = judged(project, run, sides, call)
        assert (found["name"], found["outcome"]) == ("brevity", "passed")
    scored = (project.path / "scored.txt").read_text().split()
    assert sorted(scored) == sorted([SHORT, LONG]), "each text once, in both runs"
