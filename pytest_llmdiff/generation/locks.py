"""Locks between processes, and claims by which several processes divide work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_llmdiff.store import Store

POLL = 0.05  # seconds between two checks of the store
STALE = 10.0  # seconds without a sign of life after which a waiting process counts as dead


class ModelLock:
    """One or several named locks, which one process holds until it releases them, ends or dies.

    The process that has loaded the models keeps their lock after the work (`keep`), because
    releasing it means unloading them. Between two tests it checks `wanted()` and releases the lock
    if another process needs rows that this one did not compute.
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
        """Do the `work` under the lock, or wait until another process has done it; return once
        nothing is missing.

        Work that returns True has left something to another process; it is repeated until nothing
        is missing.
        """
        waiting = 0.0
        try:
            while missing():
                # Another process may have finished it between the check and the lock.
                if self._take() and (not missing() or not work()):
                    return
                if not self.held and time.monotonic() - waiting > 1:
                    waiting = time.monotonic()
                    for kind in self._kinds():
                        # The time since the machine's start, which nobody sets back.
                        self._store.put(kind, {self._me: time.monotonic()})
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
            who != self._me and 0 <= time.monotonic() - since < STALE
            for kind in self._kinds()
            for who, since in self._store.get(kind, self._store.keys(kind), float).items()
        )

    def release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _kinds(self) -> Iterator[str]:
        return (f"waiting-{name}" for name in self._names)

    def _take(self) -> bool:
        """Acquire all of the locks or none, so that two processes cannot deadlock."""
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
    """Which process does which part of some work.

    With several GPUs, several processes generate replies at the same time. Each claims a window of
    requests before it runs it, so that no window runs twice. A claim of a dead process is void.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def on(self, part: str) -> Iterator[bool]:
        """Yields True if this process holds the claim, until the context ends."""
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
    """The id and start time of a running process, which no later process shares; else None."""
    import psutil

    try:
        process = psutil.Process(pid)
        # A zombie: killed, but not yet reaped by its parent.
        dead = process.status() == psutil.STATUS_ZOMBIE
        return None if dead else [pid, process.create_time()]
    except psutil.NoSuchProcess:
        return None
