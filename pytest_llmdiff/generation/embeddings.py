"""Vectors of many texts by the run's embedder: in parts, each computed once and stored."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.errors import ScorerError
from pytest_llmdiff.generation.locks import ModelLock
from pytest_llmdiff.generation.rows import RowCache
from pytest_llmdiff.generation.windows import Progress
from pytest_llmdiff.scorers import Embedder, Embedding
from pytest_llmdiff.store import Store, store_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Texts whose vectors are one row of the store: a killed run loses no more, and rows stay few.
PART = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Vectors of length 1 in float16, a row per text; zeros where `unsupported` says why."""

    rows: NDArray[Any]
    unsupported: tuple[str | None, ...]


def embedded(
    texts: Sequence[str],
    embedder: Embedder,
    fingerprint: str,
    *,
    store: Store,
    lock: Callable[[], ModelLock],
    progress: Progress | None = None,
) -> Vectors:
    """The vectors of texts, in order. `progress` counts the texts that are embedded now.

    Raises:
        ScorerError: the embedder returned vectors of different lengths, or failed.
    """
    import numpy as np

    starts = range(0, len(texts), PART)
    parts = [tuple(texts[start : start + PART]) for start in starts]

    def compute(missing: list[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
        if progress is not None:
            progress.start("training prompts", sum(map(len, missing)))
        for part in missing:
            yield _packed(embedder.embed(list(part), cut=True))
            if progress is not None:
                progress.advance(len(part))
        if progress is not None:
            progress.finish()

    cache = RowCache(store, "embedding", _unpacked, held=len(parts))
    found = cache.get_or_compute(
        parts,
        lambda part: store_key("embedding", fingerprint, part),
        compute,
        lock=lock,
        at_once=1,
    )
    # A part without any supported text has no dimension of its own.
    dimensions = {part.rows.shape[1] for part in found if part.rows.shape[1]}
    if len(dimensions) > 1:
        raise ScorerError(f"the embedder {embedder.name} gave vectors of different lengths")
    rows = np.zeros((len(texts), max(dimensions, default=0)), dtype=np.float16)
    for start, part in zip(starts, found, strict=True):
        rows[start : start + PART, : part.rows.shape[1]] = part.rows
    unsupported = tuple(reason for part in found for reason in part.unsupported)
    return Vectors(rows=rows, unsupported=unsupported)


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
    supported = [reason is None for reason in reasons]
    rows = np.zeros((len(reasons), dimension), dtype=np.float16)
    if any(supported):
        values = np.frombuffer(b64decode(row["vectors"]), dtype="<f2")
        rows[supported] = values.reshape(-1, dimension)
    return Vectors(rows=rows, unsupported=reasons)
