"""Changed forms of prompts: what each function does, and what holds of all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.perturbations import (
    CHINESE,
    ENGLISH,
    Perturbation,
    case,
    forms,
    full_width,
    half_width,
    homoglyphs,
    paraphrase,
    politeness,
    punctuation,
    reordered,
    spacing,
    traditional,
    typos,
)

EVERY = tuple(dict.fromkeys((*ENGLISH, *CHINESE)))
ENGLISH_QUESTION = "How do I return a parcel?"
CHINESE_QUESTION = "怎么退货？"


def of(perturbation: Perturbation, text: str) -> list[str]:
    return perturbation(text, random.Random(1))


@given(text=st.text(max_size=60), seed=st.integers(0, 3))
def test_forms_differ_from_the_text_and_come_again(text: str, seed: int) -> None:
    found = forms(text, EVERY, seed=seed)
    texts = [form for _, form in found]
    assert text not in texts
    assert len(set(texts)) == len(texts)
    assert found == forms(text, EVERY, seed=seed)


@given(text=st.text(max_size=60), by=st.lists(st.sampled_from(EVERY), unique=True))
def test_a_form_does_not_depend_on_what_else_is_asked_for(
    text: str, by: list[Perturbation]
) -> None:
    alone = {form for each in by for _, form in forms(text, [each])}
    assert {form for _, form in forms(text, by)} == alone


def test_forms_are_the_same_in_every_process() -> None:
    code = (
        "from pytest_llmdiff.data.text.perturbations import *; "
        "print(ascii(forms('How do I do this?')))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert found == {ascii(forms("How do I do this?"))}


def test_typos_change_one_word_more_each_time() -> None:
    found = of(typos, "Please return this parcel today")
    words = [sum(a != b for a, b in zip(ENGLISH_WORDS, form.split(), strict=True))
             for form in found]  # fmt: skip
    assert words == [1, 2, 3]
    for form in found:
        for word, wrong in zip(ENGLISH_WORDS, form.split(), strict=True):
            assert word[0] == wrong[0]
            assert abs(len(word) - len(wrong)) <= 1
    assert of(typos, "I am 12") == []


ENGLISH_WORDS = ["Please", "return", "this", "parcel", "today"]


@given(text=st.text(max_size=60))
def test_spelling_keeps_the_letters(text: str) -> None:
    assert all(form.split() == text.split() or form.replace(" ", "").strip("\n")
               == text.replace(" ", "").strip("\n") for form in of(spacing, text))  # fmt: skip
    for form in of(full_width, text):
        assert unicodedata.normalize("NFKC", form) == unicodedata.normalize("NFKC", text)
    assert all(len(form) == len(text) for form in of(homoglyphs, text))
    assert all(form.casefold() == text.casefold() or not text.isascii() for form in of(case, text))


def test_homoglyphs_look_the_same_and_are_not() -> None:
    one, every = of(homoglyphs, "a cape")
    assert sum(a != b for a, b in zip("a cape", one, strict=True)) == 1
    assert every == "а саре"
    assert "CYRILLIC" in unicodedata.name(every[0])
    assert of(homoglyphs, "你好") == []


def test_full_width() -> None:
    assert of(full_width, "Hi you") in (["Ｈｉ you", "Ｈｉ　ｙｏｕ"], ["Hi ｙｏｕ", "Ｈｉ　ｙｏｕ"])
    assert of(full_width, "你好") == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Why?", ["Why", "Why???"]),
        ("为什么？", ["为什么", "为什么？？？"]),
        ("Tell me", ["Tell me..."]),
    ],
)
def test_punctuation(text: str, found: list[str]) -> None:
    assert of(punctuation, text) == found


def test_wording() -> None:
    assert of(paraphrase, ENGLISH_QUESTION)[0] == "How can I return a parcel?"
    assert of(paraphrase, CHINESE_QUESTION)[0] == "如何退货？"
    assert of(paraphrase, "Return it!") == []
    assert all(ENGLISH_QUESTION in form for form in of(politeness, ENGLISH_QUESTION))
    assert of(politeness, CHINESE_QUESTION)[0] == "请问，怎么退货？"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It rains. I am wet. What now?", "I am wet. It rains. What now?"),
        ("a\nb\nc\nWhich?", "b\na\nc\nWhich?"),
        ("下雨了。我没带伞。怎么办？", "我没带伞。下雨了。怎么办？"),
    ],
)
def test_reordered_leaves_the_question_last(text: str, first: str) -> None:
    assert of(reordered, text)[0] == first
    assert of(reordered, "It rains. What now?") == []


def test_chinese_characters_and_marks() -> None:
    assert of(traditional, "请问这个怎么说？") == ["請問這個怎么說？"]
    assert of(traditional, "請問這個") == ["请问这个"]
    assert of(half_width, "你好，请说：“好”。") == ['你好,请说:"好".']
