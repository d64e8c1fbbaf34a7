"""Taking turns between processes: one computes, the others wait for its rows in the store."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from pytest_llmdiff.store import Store

POLL = 0.05  # seconds between two looks at the store
STALE = 10.0  # seconds after which a waiting process that says nothing more is taken for dead


class Turn:
    """A named turn that one process holds until it lets go, ends or dies.

    The holder of the models keeps its turn between calls, because letting go means unloading; it
    gives way between two tests when `wanted()` says that somebody waits for rows it did not make.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._kind = f"waiting-{name}"
        self._me = str(os.getpid())
        self._lock: Any = None
        self._name = name

    @property
    def held(self) -> bool:
        return self._lock is not None and bool(self._lock.is_locked)

    def until(self, missing: Callable[[], bool], work: Callable[[], None]) -> None:
        """Return when nothing is missing: by doing the `work`, or because another process did."""
        waiting = 0.0
        try:
            while missing():
                if self._take():
                    # Somebody may have finished it between the look and the lock.
                    if missing():
                        work()
                    return
                if time.monotonic() - waiting > 1:
                    waiting = time.monotonic()
                    self._store.put(self._kind, {self._me: time.time()})
                time.sleep(POLL)
        finally:
            if waiting:
                self._store.remove(self._kind, self._me)

    def wanted(self) -> bool:
        """Whether another process waits for this turn."""
        waiting = self._store.get(self._kind, self._store.keys(self._kind))
        return any(
            who != self._me and time.time() - since < STALE for who, since in waiting.items()
        )

    def release(self) -> None:
        if self.held:
            self._lock.release()

    def _take(self) -> bool:
        if self._lock is None:
            self._lock = self._store.lock(self._name)
        if not self._lock.is_locked:
            from filelock import Timeout

            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
        return True
