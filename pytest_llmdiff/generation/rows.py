"""Rows of the store at hand: read a window at a time, written together where that is worth it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from pytest_llmdiff.store import Store

HELD = 512  # rows in memory: the replies of a few windows; those of divergences are large
WAITING = 256  # rows that one transaction writes at most
# Of the time that has passed: a row is written at once as long as writing takes no more of it.
SHARE = 0.2
USED = 4096  # keys in memory before they go to the store
T = TypeVar("T")


class RowCache(Generic[T]):
    """A store's rows of one kind, as what `decode` makes of them; the last read ones in memory.

    A key is a hash of all that its row depends on, so that a row which was read once stays true.
    One that was missing is looked for again: another process may have put it meanwhile.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        decode: Callable[[Any], T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._kind = kind
        self._decode = decode
        self._clock = clock
        self._begun = clock()
        self._spent = 0.0
        self._held: dict[str, T] = {}

    def get(self, keys: Iterable[str], near: Callable[[], Iterable[str]] = tuple) -> dict[str, T]:
        """The rows that are there, by key. Where one is not in memory, those `near` are read too,
        in the same query."""
        wanted, held = list(keys), self._held
        if any(key not in held for key in wanted):
            rows = self._store.get(self._kind, (k for k in (*wanted, *near()) if k not in held))
            held.update((key, self._decode(row)) for key, row in rows.items())
        found = {key: held[key] for key in wanted if key in held}
        self._let_go()
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, Any], None]]:
        """Gives what puts a row. All are written at the end, also where the work is broken off.

        A row is written at once while that costs little: a killed run then loses nothing that was
        answered. Rows that come faster than that wait for each other.
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

    def _let_go(self) -> None:
        if len(self._held) > HELD:
            for key in list(self._held)[: len(self._held) - HELD]:
                del self._held[key]


class UsedKeys:
    """The keys that a run's tests asked for, left in the store under `name` for a recording."""

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
