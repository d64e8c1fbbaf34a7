"""Rows at hand: what was read stays, what was missing is asked for again, nothing put is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.generation.rows import HELD, SHARE, USED, WAITING, RowCache, UsedKeys
from pytest_llmdiff.store import Store


class Watched(Store):
    """A store in memory that counts what it is asked, on a clock that only it moves."""

    def __init__(self, cost: float = 0.0) -> None:
        super().__init__(Path("unused"))
        self.rows: dict[str, Any] = {}
        self.asked: list[list[str]] = []
        self.put_at_once: list[int] = []
        self.now = 0.0
        self.cost = cost

    def get(self, kind: str, keys: Iterable[str]) -> dict[str, Any]:
        assert kind == "reply"
        wanted = list(keys)
        self.asked.append(wanted)
        return {key: self.rows[key] for key in wanted if key in self.rows}

    def put(self, kind: str, values: Any) -> None:
        assert kind == "reply"
        self.rows.update(values)
        if values:
            self.put_at_once.append(len(values))
            self.now += self.cost

    def clock(self) -> float:
        return self.now


def shelf_of(store: Watched) -> RowCache[Any]:
    return RowCache(store, "reply", lambda row: ("decoded", row), clock=store.clock)


def test_a_window_is_read_in_one_query() -> None:
    store = Watched()
    store.rows = {str(n): n for n in range(5)}
    cache = shelf_of(store)
    for n in range(5):
        found = cache.get([str(n)], lambda: map(str, range(5)))
        assert found == {str(n): ("decoded", n)}
    assert len(store.asked) == 1


def test_what_was_missing_is_asked_for_again() -> None:
    store = Watched()
    cache = shelf_of(store)
    assert cache.get(["a"]) == {}
    store.rows["a"] = 1  # by another process
    assert cache.get(["a"]) == {"a": ("decoded", 1)}


def test_memory_is_bounded_and_an_answer_complete() -> None:
    store = Watched()
    keys = [str(n) for n in range(HELD + 50)]
    store.rows = dict.fromkeys(keys, 0)
    cache = shelf_of(store)
    assert list(cache.get(keys)) == keys
    cache.get(keys[-HELD:])
    assert len(store.asked) == 1, "the last ones are still there"
    cache.get(keys[:1])
    assert len(store.asked) == 2


@given(
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.1, 5.0]), max_size=600),
    cost=st.sampled_from([0.0, 0.0005, 0.5]),
    broken=st.booleans(),
)
def test_every_row_is_written_whatever_the_speed(
    pauses: list[float], cost: float, broken: bool
) -> None:
    store = Watched(cost)
    try:
        with shelf_of(store).writing() as put:
            for number, pause in enumerate(pauses):
                store.now += pause
                put(str(number), number)
            if broken:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert store.rows == {str(n): n for n in range(len(pauses))}
    assert max(store.put_at_once, default=0) <= WAITING


def test_rows_of_a_slow_engine_are_written_one_by_one() -> None:
    store = Watched(cost=0.001)
    store.now = 1.0
    with shelf_of(store).writing() as put:
        for burst in range(4):
            store.now += 30.0
            for number in range(32):
                put(f"{burst} {number}", 0)
    assert store.put_at_once == [1] * 128


def test_rows_that_come_faster_than_they_can_be_written_go_together() -> None:
    store = Watched(cost=0.001)
    with shelf_of(store).writing() as put:
        for number in range(10 * WAITING):
            store.now += 1e-6
            put(str(number), 0)
    assert len(store.put_at_once) < 0.01 * 10 * WAITING + 20
    writing = store.cost * len(store.put_at_once)
    assert writing > SHARE * (store.now - writing), "else they could go one by one"


@pytest.mark.parametrize("count", [0, 1, USED + 1])
def test_used_keys_are_left_in_the_store_once(tmp_path: Path, count: int) -> None:
    store = Store(tmp_path / "store")
    used = UsedKeys(store, "used run")
    for _ in range(2):
        for start in range(0, count, 500):
            used.add("reply", map(str, range(start, min(count, start + 500))))
    used.flush()
    assert sorted(store.keys("used run")) == sorted(f"reply {n}" for n in range(count))
