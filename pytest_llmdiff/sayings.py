"""What the processes of a run leave in the store for the one that writes the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from pytest_llmdiff.store import Store


class Sayings:
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
