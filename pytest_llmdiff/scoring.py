"""Scores of a window at a time, once, kept in the store."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.comparison import Score
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.opening import auto_device
from pytest_llmdiff.engines.rows import score_from_json, score_to_json
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.generation import Generation
from pytest_llmdiff.planning import content_key, store_key
from pytest_llmdiff.scorers import Scorer
from pytest_llmdiff.scorers.opening import named_languages, open_scorer
from pytest_llmdiff.settings import Settings
from pytest_llmdiff.store import Store
from pytest_llmdiff.turns import Turn

Inputs = list[tuple[str, ...]]


class Scoring:
    """The scorers of the run. A scorer that failed once is not tried again."""

    def __init__(self, settings: Settings, store: Store, generation: Generation) -> None:
        self._settings = settings
        self._store = store
        self._generation = generation
        self._opened: dict[tuple[str, object], Scorer | LLMDiffError] = {}
        self.used: list[tuple[str, str]] = []

    def scores(
        self, role: str, spec: object | None, own: Inputs, around: Callable[[], Inputs]
    ) -> list[Score]:
        """Scores of `own` inputs; where any is missing, those of the window around it as well.

        Raises:
            ScorerError: the scorer cannot be had or gave something that is no score.
        """
        spec = getattr(self._settings, role) if spec is None else spec
        recorded = self._recorded(spec, own)
        if recorded is not None:
            return recorded
        scorer = self._scorer(role, spec)
        fingerprint = scorer.fingerprint()

        def key(texts: tuple[str, ...]) -> str:
            return store_key("score", fingerprint, texts)

        keys = [key(texts) for texts in own]

        def missing() -> bool:
            return len(self._store.get("score", keys)) < len(set(keys))

        def work() -> None:
            wanted = {key(texts): texts for texts in (*own, *around())}
            there = self._store.get("score", wanted)
            todo = {k: texts for k, texts in wanted.items() if k not in there}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = scorer.score(list(todo.values()))
            rows = {
                k: {**score_to_json(score), "scorer": scorer.name, "inputs": list(texts)}
                for (k, texts), score in zip(todo.items(), found, strict=True)
            }
            self._store.put("score", rows)

        turn = Turn(self._store, f"scorer-{content_key(fingerprint)[:16]}")
        try:
            turn.until(missing, work)
        finally:
            turn.release()
        self.used += [("score", k) for k in keys]
        rows = self._store.get("score", keys)
        return [score_from_json(rows[k]) for k in keys]

    def languages(self, role: str, spec: object | None) -> Sequence[str] | None:
        """The languages that a scorer says it can judge."""
        spec = getattr(self._settings, role) if spec is None else spec
        named = named_languages(spec)
        if named is not None or self._replayed:
            return named
        return self._scorer(role, spec).languages

    @property
    def _replayed(self) -> bool:
        return capability(self._generation.pair.tuned, "recorded_score") is not None

    def _scorer(self, role: str, spec: object) -> Scorer:
        # By the object itself, which keeps it alive: an id may be given again.
        name = (role, spec if isinstance(spec, str) else _ById(spec))
        if name not in self._opened:
            try:
                self._opened[name] = open_scorer(
                    role,
                    spec,
                    folder=self._settings.folder_of(role),
                    store=self._store,
                    device=lambda: auto_device(self._settings, self._store),
                )
            except LLMDiffError as error:
                self._opened[name] = error
        opened = self._opened[name]
        if isinstance(opened, LLMDiffError):
            raise opened
        return opened

    def _recorded(self, spec: object, own: Inputs) -> list[Score] | None:
        """The scores of a recording, if the run replays one that has them all."""
        lookup: Any = capability(self._generation.pair.tuned, "recorded_score")
        if lookup is None or not isinstance(spec, str):
            return None
        rows = [lookup(spec, texts) for texts in own]
        if any(row is None for row in rows):
            return None
        return [score_from_json(row) for row in rows]


class _ById:
    """An object as a key, whether or not it can be hashed."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.held is self.held
