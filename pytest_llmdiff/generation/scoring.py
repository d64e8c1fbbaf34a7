"""Scores of a window at a time, and vectors of many texts: once, kept in the store."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.comparison import Score
from pytest_llmdiff.engines import capability
from pytest_llmdiff.engines.opening import auto_device
from pytest_llmdiff.errors import LLMDiffError, ScorerError, once_more
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.locks import ModelLock
from pytest_llmdiff.generation.rows import RowCache, UsedKeys
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.scorers import Embedder, Embedding, Scorer
from pytest_llmdiff.scorers.opening import named_languages, open_scorer
from pytest_llmdiff.store import Store, content_key, key_within, store_key

if TYPE_CHECKING:
    from numpy.typing import NDArray


def score_to_json(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "unsupported": score.unsupported,
        "details": dict(score.details),
    }


def score_from_json(row: Mapping[str, Any]) -> Score:
    return Score(value=row["value"], unsupported=row["unsupported"], details=row["details"])


Inputs = list[tuple[str, ...]]

# Texts whose vectors are one row of the store: what a killed run loses, and few enough rows.
PART = 256
KEYS = 1024  # of scores, in memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Vectors of length 1 in float16, a row per text; zeros where `unsupported` says why."""

    rows: NDArray[Any]
    unsupported: tuple[str | None, ...]


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
        self._scores = RowCache(store, "score", score_from_json)
        self._used = used
        self._generation = generation
        self._opened: dict[tuple[str, object], _Opened | LLMDiffError] = {}

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
        opened = self._open(role, spec)

        key = opened.key
        keys = [key(texts) for texts in own]

        def near() -> list[str]:
            return [key(texts) for texts in around()]

        def missing() -> bool:
            return len(self._scores.get(keys)) < len(set(keys))

        def work() -> None:
            wanted = {key(texts): texts for texts in (*own, *around())}
            there = self._scores.get(wanted)
            todo = {k: texts for k, texts in wanted.items() if k not in there}
            found = opened.scorer.score(list(todo.values()))
            languages = opened.scorer.languages
            told = {
                "scorer": opened.scorer.name,
                "languages": None if languages is None else list(languages),
            }
            rows = {
                k: {**score_to_json(score), **told, "inputs": list(texts)}
                for (k, texts), score in zip(todo.items(), found, strict=True)
            }
            self._store.put("score", rows)

        rows = self._scores.get(keys, near)
        if len(rows) < len(set(keys)):
            self._locked(opened, missing, work)
            rows = self._scores.get(keys)
        if self._used is not None:
            self._used.add("score", keys)
        return [rows[k] for k in keys]

    def vectors(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """The vectors of texts by the run's embedder, in order.

        A text that is longer than the embedder reads has the vector of its beginning. `progress`
        is told of the texts if any is embedded now.

        Raises:
            LLMDiffError: the embedder cannot be had, or gave something that is no vector.
        """
        import numpy as np

        opened = self._open("embedder", self._settings.embedder)
        embedder = opened.scorer
        if not isinstance(embedder, Embedder):
            raise ScorerError(f"the embedder {embedder.name} has no vectors to give")
        starts = range(0, len(texts), PART)
        parts = [list(texts[start : start + PART]) for start in starts]
        keys = [store_key("embedding", opened.fingerprint, part) for part in parts]
        held: dict[str, Vectors] = {}

        def missing() -> bool:
            # Only what is not there yet is asked for, since a row is large and this is asked often.
            found = self._store.get("embedding", [key for key in keys if key not in held])
            held.update({key: _unpacked(row) for key, row in found.items()})
            return len(held) < len(set(keys))

        def work() -> None:
            todo = {k: part for k, part in zip(keys, parts, strict=True) if k not in held}
            if progress is not None:
                progress.start("training prompts", sum(map(len, todo.values())))
            for key, part in todo.items():
                row = _packed(embedder.embed(part, cut=True))
                self._store.put("embedding", {key: row})
                held[key] = _unpacked(row)
                if progress is not None:
                    progress.advance(len(part))
            if progress is not None:
                progress.finish()

        self._locked(opened, missing, work)
        found = [held[key] for key in keys]
        # A part without one readable text has no dimension of its own.
        dimensions = {part.rows.shape[1] for part in found if part.rows.shape[1]}
        if len(dimensions) > 1:
            raise ScorerError(f"the embedder {embedder.name} gave vectors of different lengths")
        rows = np.zeros((len(texts), max(dimensions, default=0)), dtype=np.float16)
        for start, part in zip(starts, found, strict=True):
            rows[start : start + PART, : part.rows.shape[1]] = part.rows
        unsupported = tuple(reason for part in found for reason in part.unsupported)
        return Vectors(rows=rows, unsupported=unsupported)

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
        """Content hash of the run's scorer of a role.

        Raises:
            LLMDiffError: the scorer cannot be had.
        """
        return self._open(role, getattr(self._settings, role)).fingerprint

    @cached_property
    def _recorded_score(self) -> Any:
        """Looks a score up in the recording, if the run replays one."""
        return capability(self._generation.pair.tuned, "recorded_score")

    def _open(self, role: str, spec: object) -> _Opened:
        # By the object itself, which keeps it alive: an id may be given again.
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
        """As torch names it: that of `--llmdiff-device` with its index, if it has one."""
        found, asked = auto_device(self._settings, self._store), self._settings.device
        return asked if ":" in asked else found

    def _locked(
        self, opened: _Opened, missing: Callable[[], bool], work: Callable[[], None]
    ) -> None:
        """Let one process at a time work with a scorer; the others wait for its rows."""

        def quietly() -> None:
            with third_party_warnings_ignored():
                work()

        lock = ModelLock(self._store, f"scorer-{content_key(opened.fingerprint)[:16]}")
        try:
            lock.until(missing, quietly)
        finally:
            lock.release()

    def _recorded(self, spec: object, own: Inputs) -> list[Score] | None:
        """The scores of a recording, if the run replays one that has them all."""
        lookup = self._recorded_score
        if lookup is None or not isinstance(spec, str):
            return None
        rows = [lookup(spec, texts) for texts in own]
        if any(row is None for row in rows):
            return None
        return [score_from_json(row) for row in rows]


class _Opened:
    """A scorer, with its fingerprint taken once: a run's scorer does not change under it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        # Those of a window are asked for with its first test, and again one by one.
        self.key = lru_cache(maxsize=KEYS)(self._key)

    def _key(self, texts: tuple[str, ...]) -> str:
        return key_within(self._prefix, repr(texts))

    @cached_property
    def _prefix(self) -> str:
        return store_key("score", self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        return self.scorer.fingerprint()


class _ById:
    """An object as a key, whether or not it can be hashed."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __hash__(self) -> int:
        return id(self.held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.held is self.held


# Vectors as plain JSON


def _packed(found: Sequence[Embedding]) -> dict[str, Any]:
    """The vectors of length 1, as float16 (little endian, base64): a tenth of their text."""
    import numpy as np

    reasons = [embedding.unsupported for embedding in found]
    given = [embedding.vector for embedding in found if embedding.vector is not None]
    dimension = len(given[0]) if given else 0
    vectors = np.asarray(given, dtype=np.float64).reshape(len(given), dimension)
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(vectors, axis=1)
        sound = np.isfinite(norms) & (norms > 0)
        vectors = vectors[sound] / norms[sound, None]
    places = [place for place, reason in enumerate(reasons) if reason is None]
    for place, good in zip(places, sound.tolist(), strict=True):
        if not good:
            reasons[place] = "its vector is zero or not finite"
    return {
        "dimension": dimension,
        "vectors": b64encode(vectors.astype("<f2").tobytes()).decode("ascii"),
        "unsupported": reasons,
    }


def _unpacked(row: dict[str, Any]) -> Vectors:
    import numpy as np

    reasons, dimension = tuple(row["unsupported"]), row["dimension"]
    read = [reason is None for reason in reasons]
    rows = np.zeros((len(reasons), dimension), dtype=np.float16)
    if any(read):
        rows[read] = np.frombuffer(b64decode(row["vectors"]), dtype="<f2").reshape(-1, dimension)
    return Vectors(rows=rows, unsupported=reasons)
