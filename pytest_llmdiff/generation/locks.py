"""Between processes: taking turns at something, and dividing work that several can do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_llmdiff.store import Store

POLL = 0.05  # seconds between two looks at the store
STALE = 10.0  # seconds after which a waiting process that says nothing more is taken for dead


class ModelLock:
    """A named turn that one process holds until it lets go, ends or dies; or several at once.

    The holder of the models keeps its turn between calls, because letting go means unloading; it
    gives way between two tests when `wanted()` says that somebody waits for rows it did not make.
    """

    def __init__(self, store: Store, *names: str, keep: bool = True) -> None:
        self._store = store
        self._names = names
        self._keep = keep
        self._me = str(os.getpid())
        self._locks: list[Any] = []

    @property
    def held(self) -> bool:
        return bool(self._locks)

    def until(self, missing: Callable[[], bool], work: Callable[[], bool | None]) -> None:
        """Return when nothing is missing: by doing the `work`, or because another process did.

        Work that returns true has left something to a process that is at it, and is done again
        until nothing is missing.
        """
        waiting = 0.0
        try:
            while missing():
                # Somebody may have finished it between the look and the lock.
                if self._take() and (not missing() or not work()):
                    return
                if not self.held and time.monotonic() - waiting > 1:
                    waiting = time.monotonic()
                    for kind in self._kinds():
                        self._store.put(kind, {self._me: time.time()})
                time.sleep(POLL)
        finally:
            if not self._keep:
                self.release()
            if waiting:
                for kind in self._kinds():
                    self._store.remove(kind, self._me)

    def wanted(self) -> bool:
        """Whether another process waits for this lock."""
        return any(
            who != self._me and time.time() - since < STALE
            for kind in self._kinds()
            for who, since in self._store.get(kind, self._store.keys(kind)).items()
        )

    def release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _kinds(self) -> Iterator[str]:
        return (f"waiting-{name}" for name in self._names)

    def _take(self) -> bool:
        """Take all of the turns or none, so that two processes never wait for each other."""
        if self._locks:
            return True
        from filelock import Timeout

        for name in self._names:
            lock = self._store.lock(name)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.release()
                return False
            self._locks.append(lock)
        return True


class Claims:
    """Which process is at which part of some work. A claim ends with its process at the latest."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def on(self, part: str) -> Iterator[bool]:
        """Whether the part is this process's for as long as the context lasts."""
        mine = self._claim(part)
        try:
            yield mine
        finally:
            if mine:
                self._store.remove("claim", part)

    def _claim(self, part: str) -> bool:
        me = _process(os.getpid())
        with self._store.lock("claims"):
            holder = self._store.get("claim", [part]).get(part)
            if holder is not None and holder != me and _process(holder[0]) == holder:
                return False
            self._store.put("claim", {part: me})
        return True


def _process(pid: int) -> list[float] | None:
    """A process as nothing else is called, before or after it; None where there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        # Killed, and its parent has not looked yet.
        dead = process.status() == psutil.STATUS_ZOMBIE
        return None if dead else [pid, process.create_time()]
    except psutil.NoSuchProcess:
        return None
