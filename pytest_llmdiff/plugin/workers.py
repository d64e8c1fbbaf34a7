"""What the processes of a run tell each other through the store: what the tests need, a stop
signal, and notes for the reports."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cached_property

import pytest

from pytest_llmdiff.store import Store

INTERVAL = 0.5  # seconds between two checks for the signal


class StopSignal:
    """The controller's signal to its workers that the run ends early (`-x`, say).

    xdist stops a worker only between two tests, and one test may wait for all replies of the run.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._kind = f"stopped {run_id}"
        self._checked = -INTERVAL

    def send(self) -> None:
        self._store.put(self._kind, {"run": True})

    def clear(self) -> None:
        self._store.remove(self._kind, "run")

    def check(self) -> None:
        """End the running test if the signal was sent. Cheap to call often.

        Raises:
            pytest.skip.Exception: it was; the test has no outcome.
        """
        if time.monotonic() - self._checked < INTERVAL:
            return
        self._checked = time.monotonic()
        if self._store.keys(self._kind):
            raise pytest.skip.Exception("the run was stopped before this test had its replies")


class WorkerNeeds:
    """What the selected tests need, from the workers, which know them, to the controller, which can
    still end the run with a usage error."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._kind = f"needs {run_id}"

    def leave(self, needs: Iterable[str]) -> None:
        self._store.put(self._kind, dict.fromkeys(needs, True))

    def take(self) -> list[str]:
        """All of them, removed from the store."""
        found = self._store.keys(self._kind)
        self._store.remove_kind(self._kind)
        return found


class WorkerNotes:
    """What a process leaves for the reports: notes, warnings and resolved settings."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._kind = f"said {run_id}"

    def leave(
        self, *, notes: Iterable[str], warnings: Iterable[str], resolved: Mapping[str, str]
    ) -> None:
        rows = dict.fromkeys(notes, "note") | dict.fromkeys(warnings, "warning")
        rows |= {f"{name} {value}": "resolved" for name, value in resolved.items()}
        self._store.put(self._kind, rows)

    @property
    def notes(self) -> list[str]:
        return self._of("note")

    @property
    def warnings(self) -> list[str]:
        return self._of("warning")

    @property
    def resolved(self) -> dict[str, str]:
        return dict(text.split(" ", 1) for text in self._of("resolved"))

    @cached_property
    def _taken(self) -> dict[str, str]:
        """What all processes left, removed from the store: no later run needs it."""
        rows: dict[str, str] = self._store.get(self._kind, self._store.keys(self._kind))
        for key in rows:
            self._store.remove(self._kind, key)
        return rows

    def _of(self, kind: str) -> list[str]:
        return [text for text, its_kind in self._taken.items() if its_kind == kind]
