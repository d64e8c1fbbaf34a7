"""Model output as text that is safe to print, and numbers as text."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.printing import (
    LONGEST,
    MARK,
    columns,
    marked,
    number,
    printable,
    shortened,
)

anything = st.text(st.characters(exclude_categories=()))
BIDI = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


# Printable


@given(text=anything)
@example(text="\x1b[31mred\x1b[0m\x07")
@example(text="user\u202egnp.exe\u2066")
@example(text="half \ud83d\r\n\x85\u2028\u2029\x00\ufeff")
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    found = printable(text)
    assert not {unicodedata.category(c) for c in found} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(found) & set(BIDI)
    found.encode()
    assert len(found.splitlines()) <= 1


@given(text=st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
@example(text="退款在三十天内，您放心。")
@example(text="👩\u200d👧 می\u200cخواهم")
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202e", r"\u202e"),
        ("\ud83d", r"\ud83d"),
        ("\x85", r"\x85"),
    ],
)
def test_what_is_not_shows_its_code(text: str, shown: str) -> None:
    assert printable(text) == shown


# Shortened, marked, first difference


@given(text=st.text(), length=st.integers(2, 20))
def test_shortened_text(text: str, length: int) -> None:
    found = shortened(text, length)
    assert columns(found) <= length
    assert found == text if columns(text) <= length else found.endswith("…")
    assert text.startswith(found.removesuffix("…"))


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("您可以退款", 10, "您可以退款"),
        ("您可以退款", 9, "您可以退…"),
        ("您可以退款", 8, "您可以…"),
        ("ok，您可以退款", 8, "ok，您…"),
        ("abcdefghij", 8, "abcdefg…"),
        ("ＡＢＣ", 5, "ＡＢ…"),
    ],
)
def test_a_chinese_character_takes_two_columns(text: str, length: int, shown: str) -> None:
    assert shortened(text, length) == shown


@pytest.mark.parametrize(
    ("text", "at", "shown"),
    [
        ("Go to the website.", None, "Go to the website."),
        ("Go to the website.", 0, "▸Go to the website."),
        ("Go to the website.", 12, "Go to the ▸website."),
        ("Go\nto", 4, r"Go\n▸to"),
        ("Go to", 5, "Go to▸"),
        ("a\x1b b", 3, r"a\x1b ▸b"),
        ("the red apples", 10, "the red ▸apples"),
        ("can't (won't", 11, "can't (▸won't"),
        ("退款一般在七到十个工作日内", 5, "退款一般在▸七到十个工作日内"),
        ("请点击“Return”，谢谢", 8, "请点击“▸Return”，谢谢"),
        ("ขอคืนเงินได้", 5, "ขอคืน▸เงินได้"),
        ("cafe\u0301s", 4, "▸cafe\u0301s"),
        ("如下：👩\u200d💻好", 4, "如下：▸👩‍💻好"),
    ],
)
def test_marked_text(text: str, at: int | None, shown: str) -> None:
    assert marked(text, at) == shown


@pytest.mark.parametrize(
    ("beginning", "different"),
    [("word " * 200, "Different"), ("退款说明" * 200, "不"), ("x" * 1000, "y")],
    ids=["words", "chinese", "no spaces"],
)
def test_the_difference_is_on_show_after_a_long_beginning(beginning: str, different: str) -> None:
    found = marked(f"{beginning}{different} end", len(beginning))
    head, _, tail = found.partition(MARK)
    assert head.startswith("…")
    assert different in tail
    assert len(found) <= LONGEST + 100


# Numbers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "none"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (0.0, "0"),
        (2.0, "2"),
        (0.62, "0.62"),
        (-0.5, "-0.50"),
        (0.1234, "0.12"),
        (0.0123, "0.012"),
        (1.5e-7, "1.5e-07"),
        (1e9, "1000000000.00"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert number(value) == shown
