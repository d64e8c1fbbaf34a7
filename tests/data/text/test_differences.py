"""Where two texts or token lists begin to differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.data.text.differences import common_length, first_difference


@pytest.mark.parametrize(
    ("a", "b", "index"),
    [
        ("", "", None),
        ("退款", "退款", None),
        ("退款", "退货", 1),
        ("ab", "abc", 2),
        ("abc", "ab", 2),
        ("", "a", 0),
        ([1, 2], (1, 2), None),
        ((1, 2, 3), (1, 5, 3), 1),
    ],
)
def test_first_difference(a: Any, b: Any, index: int | None) -> None:
    assert first_difference(a, b) == index


@given(head=st.text(), a=st.text(), b=st.text())
def test_nothing_differs_before_the_first_difference(head: str, a: str, b: str) -> None:
    at = first_difference(head + a, head + b)
    if at is None:
        assert a == b
    else:
        assert (head + a)[:at] == (head + b)[:at]
        assert (head + a)[at : at + 1] != (head + b)[at : at + 1]


@pytest.mark.parametrize(("a", "b"), [("ab", "abc"), ("abc", "ab"), ("", "a"), ("ab", "ab")])
def test_what_may_be_cut_differs_only_where_both_go_on(a: str, b: str) -> None:
    assert first_difference(a, b, cut=True) is None
    assert first_difference(f"x{a}", f"y{b}", cut=True) == 0


@pytest.mark.parametrize(
    ("a", "b", "length"), [("", "a", 0), ("退款", "退货", 1), ("ab", "abc", 2), ([1, 2], (1, 2), 2)]
)
def test_common_length(a: Any, b: Any, length: int) -> None:
    assert common_length(a, b) == length
