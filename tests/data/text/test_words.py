"""The words of a prompt, and the prompt without some of them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.words import words_of

SPACED = "Hello, it's 1,000.50 at x.com (see below)... ok?"
CHINESE = "怎么申请退款？"


def texts(text: str) -> list[str]:
    return [word.text for word in words_of(text).words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I get a refund?", ["How", "do", "I", "get", "a", "refund", "?"]),
        (SPACED, ["Hello", ",", "it's", "1,000.50", "at", "x.com", "(", "see", "below", ")...",
                  "ok", "?"]),
        ("Qu'est-ce que c'est ?!", ["Qu'est-ce", "que", "c'est", "?!"]),
        ("ठीक है", ["ठीक", "है"]),
        ("환불은 어떻게 받나요?", ["환불은", "어떻게", "받나요", "?"]),
        ("هل يمكن؟", ["هل", "يمكن", "؟"]),
        ("hi 👨‍👩‍👧 ❤️", ["hi", "👨‍👩‍👧", "❤️"]),
        (CHINESE, ["怎么", "申请", "退款", "？"]),
        ("怎麼申請退款？", ["怎麼", "申請", "退款", "？"]),
        ("返金を申請する。", ["返金を", "申請する", "。"]),
        ("ฉันจะขอเงินคืน", ["ฉัน", "จะ", "ขอ", "เงิน", "คืน"]),
        ("请用Python写", ["请", "用", "Python", "写"]),
        ("  \n", []),
    ],
)  # fmt: skip
def test_words_go_by_the_script(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_who_told_words_without_spaces_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words_of(SPACED).segmented_by is None
    assert str(words_of(CHINESE).segmented_by).startswith("budoux ")
    monkeypatch.setitem(sys.modules, "budoux", None)
    assert texts(CHINESE) == ["怎么", "申请", "退款", "？"]
    assert texts("你好啊") == ["你好", "啊"]
    assert words_of(CHINESE).segmented_by == "pairs of characters"


@pytest.mark.parametrize(
    ("text", "left", "expected"),
    [
        ("How do I get a refund?", "refund", "How do I get a?"),
        ("How do I get a refund?", "How", "do I get a refund?"),
        ("How do I get a refund?", "?", "How do I get a refund"),
        ("Hello, world!", ",", "Hello world!"),
        ("One.\n\nTwo three", "Two", "One.\n\nthree"),
        (CHINESE, "申请", "怎么退款？"),
    ],
)
def test_a_word_is_left_out_with_its_space(text: str, left: str, expected: str) -> None:
    words = words_of(text)
    assert words.kept([word.text != left for word in words.words]) == expected


def test_a_word_can_be_replaced() -> None:
    words = words_of(" How do I, then? ")
    mask = [word.text not in ("do", ",") for word in words.words]
    assert words.kept(mask, "_") == " How _ I_ then? "


@given(st.text(st.sampled_from("ab1 ,.'-\n你好退款かな।ีก👍é\u200d"), max_size=40), st.data())
def test_of_every_text(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    count = len(words.words)
    assert words.kept([True] * count) == text
    assert words.kept([False] * count).strip() == ""
    assert all(text[w.start : w.end] == w.text and w.text.strip() for w in words.words)
    covered = "".join(word.text for word in words.words)
    assert covered.split() == "".join(text.split()).split(), "only space is of no word"
    mask = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    kept = [w.text for w, keep in zip(words.words, mask, strict=True) if keep]
    assert "".join(words.kept(mask).split()) == "".join("".join(kept).split())
    if count:
        most = data.draw(st.integers(1, count))
        grouped = words.grouped(most)
        assert len(grouped.words) == most
        assert grouped.kept([True] * most) == text
        assert (grouped.words[0].start, grouped.words[-1].end) == (
            words.words[0].start, words.words[-1].end,
        )  # fmt: skip
