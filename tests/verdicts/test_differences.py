"""Differences between models are real only where the same probes show it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.verdicts.differences import (
    difference,
    error_of_each,
    mean_bounds,
    unbeaten,
)

KEYS = [str(n) for n in range(60)]
QUESTIONS = {key: key for key in KEYS}


def values(numbers: list[float]) -> dict[str, float | None]:
    return dict(zip(KEYS, numbers, strict=False))


def test_pairing_shows_what_two_separate_intervals_do_not() -> None:
    spread = [n / 60 for n in range(60)]
    one, other = values(spread), values([x + 0.05 + 0.01 * (x > 0.5) for x in spread])
    found = difference(other, one, QUESTIONS, measure="drift", error=error_of_each(30))
    assert found is not None
    assert found.probes == 60
    assert found.low is not None
    assert found.low > 0.04
    alone, beside = (mean_bounds(each, QUESTIONS, "drift") for each in (one, other))
    assert alone[1] is not None
    assert beside[0] is not None
    assert alone[1] > beside[0]  # they overlap


def test_outcomes_have_the_bounds_of_a_change_of_a_share() -> None:
    one, other = values([1.0] * 20 + [0.0] * 40), values([0.0] * 60)
    found = difference(one, other, QUESTIONS, measure="x", error=error_of_each(1))
    assert found is not None
    assert found.value == pytest.approx(1 / 3)
    assert found.low is not None
    assert 0.1 < found.low < 1 / 3
    turned = difference(other, one, QUESTIONS, measure="x", error=error_of_each(1))
    assert turned is not None
    assert turned.turned.low == pytest.approx(found.low)


def test_forms_of_a_question_count_once() -> None:
    one, other = values([1.0] * 60), values([0.0] * 60)
    three = {key: str(n % 3) for n, key in enumerate(KEYS)}
    apart = difference(one, other, QUESTIONS, measure="x", error=0.01)
    together = difference(one, other, three, measure="x", error=0.01)
    assert apart is not None
    assert together is not None
    assert apart.low is not None
    assert apart.low > 0.8
    assert together.low is None or together.low <= 0


@pytest.mark.parametrize(
    "other",
    [
        {}, values([0.0] * 59), values([0.0] * 59) | {KEYS[59]: None},
        values([0.0] * 59) | {"another": 0.0},
    ],
)  # fmt: skip
def test_models_that_were_not_judged_at_the_same_probes_are_not_compared(
    other: dict[str, float | None],
) -> None:
    assert difference(values([1.0] * 60), other, QUESTIONS, measure="x", error=0.05) is None


def test_a_probe_that_neither_model_could_be_judged_at_is_left_out() -> None:
    lacking: dict[str, float | None] = {KEYS[0]: None}
    found = difference(
        values([1.0] * 60) | lacking, values([0.0] * 60) | lacking, QUESTIONS,
        measure="x", error=0.05,
    )  # fmt: skip
    assert found is not None
    assert found.probes == 59


def test_equal_models_seldom_differ() -> None:
    """Of 200 rankings of 5 equal models, at most some 5 % call any of 10 differences real."""
    chance, wrong = random.Random(1), 0
    for _ in range(200):
        models = [
            values([float(chance.random() < 0.3) for _ in KEYS[:40]]) for _ in range(5)
        ]  # fmt: skip
        pairs = [(a, b) for n, a in enumerate(models) for b in models[n + 1 :]]
        found = (
            difference(a, b, QUESTIONS, measure="x", error=error_of_each(len(pairs)))
            for a, b in pairs
        )
        wrong += any(
            each is not None and each.low is not None and each.high is not None
            and (each.low > 0 or each.high < 0)
            for each in found
        )  # fmt: skip
    assert wrong <= 18  # the chance of more at 5 % is 0.7 %


@given(st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"))))
def test_none_of_the_unbeaten_is_only_worse(better: set[tuple[str, str]]) -> None:
    left = unbeaten("abcd", better)
    for model in "abcd":
        beaten = [o for o in "abcd" if (o, model) in better and (model, o) not in better]
        assert (model in left) == (not beaten)
