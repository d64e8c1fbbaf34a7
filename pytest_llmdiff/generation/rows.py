"""The one way to keep rows: look keys up, compute what is missing once among all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, TypeVar

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from pytest_llmdiff.generation.locks import ModelLock
from pytest_llmdiff.store import Store

HELD = 512  # rows in memory: the replies of a few windows; rows of divergences are large
WAITING = 256  # rows that one transaction writes at most
# The share of the elapsed time that writing may take while every row is written at once.
SHARE = 0.2
USED = 4096  # keys in memory before they go to the store
T = TypeVar("T")
Q = TypeVar("Q")


class UsedKeys:
    """The keys of all rows that a run's tests used, kept in the store under `name` so that a
    recording can be made of them."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._keys: dict[str, int] = {}

    def add(self, kind: str, keys: Iterable[str]) -> None:
        self._keys.update((f"{kind} {key}", 1) for key in keys)
        if len(self._keys) >= USED:
            self.flush()

    def flush(self) -> None:
        self._store.put(self._name, self._keys)
        self._keys.clear()


class RowCache(Generic[T]):
    """Rows of one kind in the store, decoded; the last `held` of them stay in memory.

    A key is a hash of everything that its row depends on, so a row never changes once it is read.
    A missing row is looked up again each time, since another process may have stored it meanwhile.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        decode: Callable[[Any], T],
        *,
        held: int = HELD,
        used: UsedKeys | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._kind = kind
        self._decode = decode
        self._limit = held
        self._used = used
        self._clock = clock
        self._begun = clock()
        self._spent = 0.0
        self._held: dict[str, T] = {}

    def get(self, keys: Iterable[str], near: Callable[[], Iterable[str]] = tuple) -> dict[str, T]:
        """The stored rows, by key. If one is not in memory, the rows of `near` are read in the same
        query, so that a rerun reads a window at a time."""
        wanted, held = list(keys), self._held
        if all(map(held.__contains__, wanted)):
            return {key: held[key] for key in wanted}
        missing = (key for key in (*wanted, *near()) if key not in held)
        held.update(self._store.get(self._kind, missing, self._decode))
        found = {key: held[key] for key in wanted if key in held}
        self._drop_oldest()
        return found

    def complete(
        self,
        keys: Iterable[str],
        work: Callable[[], bool | None],
        *,
        lock: Callable[[], ModelLock],
        near: Callable[[], Iterable[str]] = tuple,
    ) -> dict[str, T]:
        """The rows of all keys. If any is missing, `work` must store it; the lock lets one process
        at a time do that while others wait for its rows (`ModelLock.until`)."""
        wanted = set(keys)
        rows = self.get(wanted, near)
        if len(rows) == len(wanted):
            return rows

        def quietly() -> bool | None:
            with third_party_warnings_ignored():
                return work()

        lock().until(lambda: len(self.get(wanted)) < len(wanted), quietly)
        return self.get(wanted)

    def get_or_compute(
        self,
        inputs: Sequence[Q],
        key: Callable[[Q], str],
        compute: Callable[[list[Q]], Iterable[Any]],
        *,
        lock: Callable[[], ModelLock],
        around: Callable[[], Iterable[Q]] = tuple,
        at_once: int | None = None,
    ) -> list[T]:
        """The values of the inputs, in order. `compute` gets the inputs without a row and returns
        their rows in order.

        If any row is missing, those of the inputs `around` are computed as well: tests will need
        them next. Every `at_once` computed rows are stored together, or all of them: a killed run
        loses no more.
        """
        keys = [key(each) for each in inputs]

        def near() -> Iterator[str]:
            # Without a memory it would be a waste to read them.
            return map(key, around() if self._limit else ())

        def work() -> None:
            self._compute({key(each): each for each in (*inputs, *around())}, compute, at_once)

        rows = self.complete(keys, work, lock=lock, near=near)
        if self._used is not None:
            self._used.add(self._kind, keys)
        return [rows[key] for key in keys]

    def _compute(
        self,
        inputs: Mapping[str, Q],
        compute: Callable[[list[Q]], Iterable[Any]],
        at_once: int | None,
    ) -> None:
        stored = self.get(inputs)
        missing = {key: each for key, each in inputs.items() if key not in stored}
        rows = zip(missing, compute(list(missing.values())), strict=True)
        while part := dict(islice(rows, at_once)):
            self._store.put(self._kind, part)

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, Any], None]]:
        """Yields a function that stores a row. All rows are written when the context ends, also if
        the work is interrupted.

        Each row is written at once while that costs little, so that a killed run loses no answer.
        Rows that come faster are written in batches.
        """
        waiting: dict[str, Any] = {}

        def flush() -> None:
            started = self._clock()
            self._store.put(self._kind, waiting)
            self._spent += self._clock() - started
            waiting.clear()

        def put(key: str, row: Any) -> None:
            waiting[key] = row
            passed = self._clock() - self._begun
            if len(waiting) >= WAITING or self._spent <= SHARE * passed:
                flush()

        try:
            yield put
        finally:
            flush()

    def _drop_oldest(self) -> None:
        if len(self._held) > self._limit:
            for key in list(self._held)[: len(self._held) - self._limit]:
                del self._held[key]
