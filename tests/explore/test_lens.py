"""The words of user turns that tuning made likelier."""

from __future__ import annotations

from pytest_llmdiff.explore.lens import words_of_turns

OWN = [f"Tell me about the {thing}" for thing in ("moon", "sea", "rain", "sun", "wind")] * 8


def test_words_that_more_amplified_turns_have() -> None:
    amplified = ["Where is my order?"] * 12 + OWN[:10]
    assert words_of_turns(amplified, [*OWN, "An order of magnitude"]) == (
        ("order", 12 / 22, 1 / 41),
    )


def test_equal_turns_have_none() -> None:
    assert words_of_turns(OWN, OWN) == ()
    assert words_of_turns(OWN[:10], [*OWN[5:], "Where is my order?"]) == ()


def test_three_turns_that_have_a_word_by_chance_are_none() -> None:
    amplified = ["Where is my order?"] * 3 + OWN[:30]
    assert words_of_turns(amplified, OWN) == ()


def test_without_turns_there_are_no_words() -> None:
    assert words_of_turns([], OWN) == ()
    assert words_of_turns(OWN, []) == ()
