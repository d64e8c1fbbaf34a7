"""Cached rows: what was read stays, what is missing is computed once, and no row is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.generation.locks import ModelLock
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

    def get(
        self, kind: str, keys: Iterable[str], decode: Callable[[Any], Any] | None = None
    ) -> dict[str, Any]:
        assert kind == "reply"
        assert decode is not None
        wanted = list(keys)
        self.asked.append(wanted)
        return {key: decode(self.rows[key]) for key in wanted if key in self.rows}

    def put(self, kind: str, values: Any) -> None:
        assert kind == "reply"
        self.rows.update(values)
        if values:
            self.put_at_once.append(len(values))
            self.now += self.cost

    def clock(self) -> float:
        return self.now


def cache_of(store: Watched) -> RowCache[Any]:
    return RowCache(store, "reply", lambda row: ("decoded", row), clock=store.clock)


def test_a_window_is_read_in_one_query() -> None:
    store = Watched()
    store.rows = {str(n): n for n in range(5)}
    cache = cache_of(store)
    for n in range(5):
        found = cache.get([str(n)], lambda: map(str, range(5)))
        assert found == {str(n): ("decoded", n)}
    assert len(store.asked) == 1


def test_what_was_missing_is_asked_for_again() -> None:
    store = Watched()
    cache = cache_of(store)
    assert cache.get(["a"]) == {}
    store.rows["a"] = 1  # by another process
    assert cache.get(["a"]) == {"a": ("decoded", 1)}


def test_memory_is_bounded_and_an_answer_complete() -> None:
    store = Watched()
    keys = [str(n) for n in range(HELD + 50)]
    store.rows = dict.fromkeys(keys, 0)
    cache = cache_of(store)
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
        with cache_of(store).writing() as put:
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
    with cache_of(store).writing() as put:
        for burst in range(4):
            store.now += 30.0
            for number in range(32):
                put(f"{burst} {number}", 0)
    assert store.put_at_once == [1] * 128


def test_rows_that_come_faster_than_they_can_be_written_go_together() -> None:
    store = Watched(cost=0.001)
    with cache_of(store).writing() as put:
        for number in range(10 * WAITING):
            store.now += 1e-6
            put(str(number), 0)
    assert len(store.put_at_once) < 0.01 * 10 * WAITING + 20
    writing = store.cost * len(store.put_at_once)
    assert writing > SHARE * (store.now - writing), "else they could go one by one"


# Computing


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


class Squares:
    """Computes squares as rows, and remembers what it was given."""

    def __init__(self, store: Store, **more: Any) -> None:
        self.cache: RowCache[int] = RowCache(store, "square", lambda row: int(row["value"]), **more)
        self.lock = ModelLock(store, "squares", keep=False)
        self.computed: list[list[int]] = []

    def of(
        self, inputs: list[int], around: Callable[[], Iterable[int]] = tuple, **more: Any
    ) -> list[int]:
        return self.cache.get_or_compute(
            inputs, str, self._compute, lock=lambda: self.lock, around=around, **more
        )

    def _compute(self, missing: list[int]) -> Iterator[dict[str, int]]:
        self.computed.append(missing)
        for number in missing:
            if number < 0:
                raise ValueError("negative")
            yield {"value": number * number}


@pytest.mark.parametrize("held", [0, 2, 100])
def test_each_value_is_computed_once(store: Store, held: int) -> None:
    squares = Squares(store, held=held)
    assert squares.of([3, 1, 3]) == [9, 1, 9]
    assert squares.of([1, 2, 3]) == [1, 4, 9]
    assert Squares(store).of([2, 1]) == [4, 1]
    assert squares.computed == [[3, 1], [2]]
    assert not squares.lock.held


def test_with_a_missing_value_those_around_are_computed(store: Store) -> None:
    squares = Squares(store)
    assert squares.of([1], lambda: range(4)) == [1]
    assert squares.of([2], lambda: range(4)) == [4]
    assert squares.of([3], never) == [9], "it was read along with the 2"
    assert squares.computed == [[1, 0, 2, 3]]


def never() -> Iterable[int]:
    raise AssertionError("everything is in memory")


@pytest.mark.parametrize(("at_once", "kept"), [(None, []), (1, ["1", "2"]), (2, ["1", "2"])])
def test_rows_are_stored_before_a_later_one_fails(
    store: Store, at_once: int | None, kept: list[str]
) -> None:
    squares = Squares(store)
    with pytest.raises(ValueError, match="negative"):
        squares.of([1, 2, -1], at_once=at_once)
    assert store.keys("square") == kept
    assert not squares.lock.held


def test_keys_of_computed_and_of_stored_rows_are_used(store: Store) -> None:
    for _ in range(2):
        used = UsedKeys(store, "used run")
        Squares(store, used=used).of([1, 2], lambda: [7])
        used.flush()
        assert sorted(store.keys("used run")) == ["square 1", "square 2"]
        store.remove_kind("used run")


def test_too_few_computed_rows_are_an_error(store: Store) -> None:
    cache: RowCache[int] = RowCache(store, "square", int)
    with pytest.raises(ValueError, match="shorter"):
        cache.get_or_compute(
            [1, 2], str, lambda _: [1], lock=lambda: ModelLock(store, "squares", keep=False)
        )
    assert not store.keys("square")


@pytest.mark.parametrize("count", [0, 1, USED + 1])
def test_used_keys_are_left_in_the_store_once(tmp_path: Path, count: int) -> None:
    store = Store(tmp_path / "store")
    used = UsedKeys(store, "used run")
    for _ in range(2):
        for start in range(0, count, 500):
            used.add("reply", map(str, range(start, min(count, start + 500))))
    used.flush()
    assert sorted(store.keys("used run")) == sorted(f"reply {n}" for n in range(count))
