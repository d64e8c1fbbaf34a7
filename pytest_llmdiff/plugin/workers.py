"""What the processes of a run leave in the store for each other: what the reports say, and that the
run has been stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cached_property

import pytest

from pytest_llmdiff.store import Store

LOOK = 0.5  # seconds between two looks at whether the run was stopped


class StopSignal:
    """That a run ends before all is answered (`-x`, say), told by its controller to the workers.

    xdist asks a worker to end between two tests only, and one test may wait for all replies of the
    run.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._kind = f"stopped {run_id}"
        self._looked = -LOOK

    def tell(self) -> None:
        self._store.put(self._kind, {"run": True})

    def forget(self) -> None:
        self._store.remove(self._kind, "run")

    def check(self) -> None:
        """End the running test where it was told. Cheap to call again and again.

        Raises:
            pytest.skip.Exception: the test has no outcome.
        """
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        if self._store.keys(self._kind):
            raise pytest.skip.Exception("the run was stopped before this was answered")


class WorkerNotes:
    """Notes, warnings and resolved values, under the name of the run."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._kind = f"said {run_id}"

    def leave(
        self, *, notes: Iterable[str], warnings: Iterable[str], resolved: Mapping[str, str]
    ) -> None:
        said = dict.fromkeys(notes, "note") | dict.fromkeys(warnings, "warning")
        said |= {f"{name} {value}": "resolved" for name, value in resolved.items()}
        self._store.put(self._kind, said)

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
        """What all processes left; taken out of the store, since no later run asks for it."""
        found: dict[str, str] = self._store.get(self._kind, self._store.keys(self._kind))
        for key in found:
            self._store.remove(self._kind, key)
        return found

    def _of(self, kind: str) -> list[str]:
        return [text for text, found in self._taken.items() if found == kind]
