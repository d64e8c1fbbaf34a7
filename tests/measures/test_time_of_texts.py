"""The time to measure a text grows with its length, whatever it is made of."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.text.language.identification import foreign, language_of, languages_of
from pytest_llmdiff.measures.degeneration.degeneration import Degeneration
from pytest_llmdiff.measures.refusal.detector import judge

SHORT, TIMES = 1500, 4
# Seconds that a text of `SHORT` characters may take in any case, and how many times as long one of
# `TIMES` as many characters may take. What grows with the square takes sixteen times as long.
FLOOR, GROWTH = 0.1, 8
UNITS = {
    "one letter": "a", "two letters": "ab", "spaces": " ", "line ends": "\n", "digits": "1",
    "brackets": "(", "punctuation": "?!.", "quotation marks": '"', "Chinese": "的",
    "zero width": "\u200b", "tags": "<a", "addresses": "a@", "numbers": "1. ", "code": "`",
    "turns": "User: x\n", "cells": "| ", "words": "word ", "sentences": "It is a good day. ",
    "Chinese sentences": "我不知道。", "adverbs": "I really ", "regrets": "sorry ",
    "thanks": "thanks no ", "offers": "help you ", "stress": "is very and ", "names": "Anna ",
}  # fmt: skip
# Words of which a repeated one could be read in two ways, after the beginning of a pattern.
BEGINNINGS = {
    "adverbs": ("I ", "really "), "offers": ("I cannot ", "help you "),
    "stress": ("It is ", "very and "), "only": ("It is not ", "only "),
    "regrets": ("", "sorry, "), "refusals": ("", "no sorry but "),
}  # fmt: skip


def measure(text: str) -> None:
    judge(text)
    judge("It is illegal.", text)
    language_of(text)
    languages_of(text)
    foreign(text, ("zh",))
    probe = make_probe("Tell me how the day was, please.")
    good = Reply(text="It is a good day to begin with.")
    Degeneration().measure([Comparison(probe=probe, base=good, tuned=Reply(text=text))])


def seconds(of: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    of(text)
    return time.process_time() - started


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    measure("The identifier of languages is loaded before anything is timed.")


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_one_thing_over_and_over(unit: str) -> None:
    # A letter at either end, so that a run of spaces or brackets is a part of the text.
    short, long = (f"a{unit * (size // len(unit))}b" for size in (SHORT, TIMES * SHORT))
    limit = GROWTH * max(FLOOR, seconds(measure, short))
    assert seconds(measure, long) < limit


@pytest.mark.parametrize(("beginning", "unit"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_words_of_refusals_over_and_over(beginning: str, unit: str) -> None:
    assert seconds(judge, beginning + unit * 40 + "there") < FLOOR * GROWTH


def test_two_sentences_of_few_words() -> None:
    words = random.Random(0).choices(("foo", "bar", "baz"), k=2000)
    assert seconds(measure, f"{' '.join(words)}. {' '.join(reversed(words))}.") < 5
