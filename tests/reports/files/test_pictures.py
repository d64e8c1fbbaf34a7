"""Which tokens a picture of a map shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.explain.attention.values import AttentionMap
from pytest_llmdiff.reports.files.pictures import COLUMNS, columns_of


def a_map(prompt: int, reply: int, asked: tuple[int, int] | None) -> AttentionMap:
    keys = tuple(f"k{at}" for at in range(prompt + reply - 1))
    rows = tuple((1 / len(keys),) * len(keys) for _ in range(reply))
    return AttentionMap(
        layer=0, head=0, keys=keys, reply=("r",) * reply, base=rows, tuned=rows, asked=asked
    )


@given(data=st.data(), prompt=st.integers(1, 300), reply=st.integers(1, 40))
def test_the_users_tokens_stand_alone_and_the_others_are_added_up(
    data: st.DataObject, prompt: int, reply: int
) -> None:
    start = data.draw(st.integers(0, prompt - 1))
    stop = data.draw(st.integers(start + 1, prompt))
    found = a_map(prompt, reply, (start, stop))
    columns = columns_of(found)
    single = [column.name for column in columns if not column.summed]
    assert single == list(found.keys[start:stop])[-COLUMNS:]
    names = {"before it", "after it", "the reply"}
    assert {column.name for column in columns if column.summed} <= names
    # Each key is in one column.
    held = sorted(at for column in columns for at in range(column.start, column.stop))
    assert held == list(range(len(found.keys)))


def test_without_the_users_tokens_each_stands_alone_the_last_ones_of_many() -> None:
    columns = columns_of(a_map(20, 4, None))
    assert [column.name for column in columns] == [f"k{at}" for at in range(23)]
    many = columns_of(a_map(200, 4, None))
    assert [column.name for column in many[:1] + many[-2:]] == ["k107", "k202", "before it"]
    assert len(many) == COLUMNS + 1
