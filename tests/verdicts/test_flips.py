"""Outcomes that changed, and the exact p-value of their balance, with questions as units."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.verdicts.flips import Flips, flips, sign_flip_p

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
CHANGES = st.lists(st.integers(-9, 9), max_size=9)


def outcomes(gained: int, lost: int, n: int) -> tuple[list[bool], list[bool]]:
    """Base's and tuned model's outcomes with so many changes."""
    same = n - gained - lost
    base = [False] * gained + [True] * lost + [True] * same
    return base, [True] * gained + [False] * lost + [True] * same


def test_flips_are_counted_both_ways() -> None:
    base, tuned = outcomes(2, 11, 50)
    p_value = flips(base, tuned).p_value
    assert p_value == pytest.approx(stats.binomtest(2, 13).pvalue)
    assert flips(base, tuned) == Flips(gained=2, lost=11, unchanged=37, p_value=p_value)
    assert flips([True] * 5, [True] * 5).p_value == 1
    assert flips([], []).p_value == 1


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_single_probes_give_mcnemars_exact_test(gained: int, lost: int) -> None:
    found = flips(*outcomes(gained, lost, gained + lost))
    theirs = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p_value == pytest.approx(theirs, rel=1e-9)


@given(CHANGES)
@example([5, 5])
@example([9, -1, -1, -1])
def test_all_ways_to_give_signs_are_counted(changes: list[int]) -> None:
    reached = [
        abs(sum(sign * c for sign, c in zip(signs, changes, strict=True))) >= abs(sum(changes))
        for signs in itertools.product((1, -1), repeat=len(changes))
    ]
    assert sign_flip_p(changes) == pytest.approx(sum(reached) / len(reached))


@given(CHANGES, st.integers(1, 7))
def test_more_forms_of_the_same_questions_are_no_more_evidence(
    changes: list[int], forms: int
) -> None:
    assert sign_flip_p([c * forms for c in changes]) == pytest.approx(sign_flip_p(changes))


@pytest.mark.parametrize("forms", [1, 10, 50])
def test_two_questions_that_flip_are_two_flips(forms: int) -> None:
    names = [question for question in range(20) for _ in range(forms)]
    base = [True] * len(names)
    found = flips(base, [name >= 2 for name in names], names)
    assert found.lost == 2 * forms
    assert found.p_value == pytest.approx(0.5)


def test_changes_within_a_question_cancel() -> None:
    found = flips([True, False, True], [False, True, True], ["q", "q", "q"])
    assert (found.gained, found.lost, found.p_value) == (1, 1, 1.0)


@given(PAIRS, st.booleans())
def test_swapping_base_and_tuned_mirrors_flips(
    pairs: list[tuple[bool, bool]], clustered: bool
) -> None:
    base, tuned = ([pair[side] for pair in pairs] for side in (0, 1))
    names = [place // 3 for place in range(len(pairs))] if clustered else None
    there, back = flips(base, tuned, names), flips(tuned, base, names)
    assert (there.gained, there.lost) == (back.lost, back.gained)
    assert there.p_value == pytest.approx(back.p_value)


def test_unlike_lengths_are_errors() -> None:
    with pytest.raises(LLMDiffError, match="2 outcomes of the base, but 1 of the tuned"):
        flips([True, False], [True])
    with pytest.raises(LLMDiffError, match="1 outcomes in 2 clusters"):
        flips([True], [True], ["a", "b"])


@pytest.mark.parametrize("alike", [0.5, 0.8, 1.0])
def test_an_unchanged_model_has_a_small_p_value_as_rarely_as_it_says(alike: float) -> None:
    """20 questions in five forms each; both models draw from the same question's rate."""
    draw, names, runs = np.random.default_rng(7), np.repeat(np.arange(20), 5), 400
    small = 0
    for _ in range(runs):
        sides = []
        for _ in range(2):
            shared, own = draw.random(20) < 0.7, draw.random(100) < 0.7
            sides.append(np.where(draw.random(100) < np.sqrt(alike), shared[names], own))
        base, tuned = (side.tolist() for side in sides)
        small += flips(base, tuned, names.tolist()).p_value < 0.05
    assert small / runs < 0.07


def test_a_large_set_takes_a_moment() -> None:
    draw = np.random.default_rng(3)
    names = np.repeat(np.arange(20_000), 5).tolist()
    base, tuned = (draw.random((2, 100_000)) < 0.5).tolist()
    start = time.process_time()
    assert 0 < flips(base, tuned, names).p_value <= 1
    assert time.process_time() - start < 10
