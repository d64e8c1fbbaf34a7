"""Scores and vectors by the scorers of a run: each computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from types import NoneType
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.opening import auto_device
from pytest_llmdiff.errors import LLMDiffError, ScorerError, once_more
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.locks import ModelLock
from pytest_llmdiff.generation.rows import RowCache, UsedKeys
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.scorers import Embedder, Scorer
from pytest_llmdiff.scorers.opening import named_languages, open_scorer
from pytest_llmdiff.store import Store, content_key, key_within, store_key

if TYPE_CHECKING:
    from pytest_llmdiff.generation.embeddings import Vectors


def score_to_json(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "unsupported": score.unsupported,
        "details": dict(score.details),
    }


def score_from_json(row: Mapping[str, Any]) -> Score:
    value = row["value"]
    if not isinstance(value, (int, float, NoneType)):
        raise TypeError(f"a score is a number, not {value!r}")
    return Score(value=value, unsupported=row["unsupported"], details=row["details"])


Inputs = list[tuple[str, ...]]

KEYS = 1024  # of scores, in memory


class Scoring:
    """The scorers of the run. A scorer that failed once is not tried again."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        generation: ReplyGenerator,
        used: UsedKeys | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._scores = RowCache(store, "score", score_from_json, used=used)
        self._generation = generation
        self._opened: dict[tuple[str, object], _Opened | LLMDiffError] = {}

    def scores(
        self, role: str, spec: object | None, own: Inputs, around: Callable[[], Inputs]
    ) -> list[Score]:
        """Scores of `own` inputs; if any is missing, the inputs `around` are scored as well.

        Raises:
            ScorerError: the scorer cannot be loaded, or returned something that is not a score.
        """
        spec = getattr(self._settings, role) if spec is None else spec
        recorded = self._recorded(spec, own)
        if recorded is not None:
            return recorded

        def rows(missing: Inputs) -> list[dict[str, Any]]:
            scorer = opened.scorer
            scores = scorer.score(missing)
            languages = None if scorer.languages is None else list(scorer.languages)
            about = {"scorer": scorer.name, "languages": languages}
            return [
                {**score_to_json(score), **about, "inputs": list(texts)}
                for texts, score in zip(missing, scores, strict=True)
            ]

        with self._generation.loaded.untimed():
            opened = self._open(role, spec)
            return self._scores.get_or_compute(
                own, opened.key, rows, lock=partial(opened.lock, self._store), around=around
            )

    def vectors(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """The vectors of texts by the run's embedder, in order.

        Of a text that is too long for the embedder, the beginning is embedded. `progress` counts
        the texts that are embedded now.

        Raises:
            LLMDiffError: the embedder cannot be loaded, or returned something that is not a vector.
        """
        opened = self._open("embedder", self._settings.embedder)
        embedder = opened.scorer
        if not isinstance(embedder, Embedder):
            raise ScorerError(f"the embedder {embedder.name} gives no vectors")
        from pytest_llmdiff.generation.embeddings import embedded

        return embedded(
            texts,
            embedder,
            opened.fingerprint,
            store=self._store,
            lock=partial(opened.lock, self._store),
            progress=progress,
        )

    def languages(self, role: str, spec: object | None) -> Sequence[str] | None:
        """The languages that a scorer says it can judge."""
        spec = getattr(self._settings, role) if spec is None else spec
        named = named_languages(role, spec)
        if named is not None:
            return named
        if self._recorded_score is not None:
            recorded = capability(self._generation.pair.tuned, "recorded_languages")
            return None if recorded is None else recorded(spec)
        return self._open(role, spec).scorer.languages

    def fingerprint(self, role: str) -> str:
        """Content hash of the run's scorer for a role.

        Raises:
            LLMDiffError: the scorer cannot be loaded.
        """
        return self._open(role, getattr(self._settings, role)).fingerprint

    @cached_property
    def _recorded_score(self) -> Any:
        """Looks a score up in the recording, if the run replays one."""
        return capability(self._generation.pair.tuned, "recorded_score")

    def _open(self, role: str, spec: object) -> _Opened:
        # The key holds the object and so keeps it alive: the id of a dead one may be reused.
        name = (role, spec if isinstance(spec, str) else _ById(spec))
        if name not in self._opened:
            try:
                self._opened[name] = _Opened(
                    open_scorer(
                        role,
                        spec,
                        folder=self._settings.folder_of(role),
                        store=self._store,
                        device=self._device,
                    )
                )
            except LLMDiffError as error:
                self._opened[name] = once_more(error)
                raise
        opened = self._opened[name]
        if isinstance(opened, LLMDiffError):
            raise once_more(opened)
        return opened

    def _device(self) -> str:
        """torch's name of the device; with the index that `--llmdiff-device` gives, if any."""
        found, asked = auto_device(self._settings, self._store), self._settings.device
        return asked if ":" in asked else found

    def _recorded(self, spec: object, own: Inputs) -> list[Score] | None:
        """The scores in the recording, if the run replays one and it has all of them."""
        lookup = self._recorded_score
        if lookup is None or not isinstance(spec, str):
            return None
        rows = [lookup(spec, texts) for texts in own]
        if any(row is None for row in rows):
            return None
        return [score_from_json(row) for row in rows]


class _Opened:
    """A scorer and its fingerprint, computed once: a scorer does not change during a run."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        # The keys of a window are needed for its first test, and again one by one.
        self.key = lru_cache(maxsize=KEYS)(self._key)

    def _key(self, texts: tuple[str, ...]) -> str:
        return key_within(self._prefix, repr(texts))

    def lock(self, store: Store) -> ModelLock:
        """Lets one process at a time use the scorer, while the others wait for its rows."""
        return ModelLock(store, f"scorer-{content_key(self.fingerprint)[:16]}", keep=False)

    @cached_property
    def _prefix(self) -> str:
        return store_key("score", self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        return self.scorer.fingerprint()


class _ById:
    """An object as a dictionary key, hashable or not."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.held is self.held
