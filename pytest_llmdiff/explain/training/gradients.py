"""Gradients of training examples, cached in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.store import Store, store_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_llmdiff.engines.transformers.gradients import Places

KIND = "gradients"
LIMIT = 1 << 30  # bytes of all cached gradients, some 30,000 examples


@dataclass(frozen=True, kw_only=True, eq=False)
class Gradient:
    """A gradient as a sketch of length 1, and its norm."""

    unit: NDArray[Any]
    norm: float


class Gradients:
    """Gradients by content, cached in the store up to `LIMIT`: a second probe needs those of the
    same examples."""

    def __init__(self, engine: Any, store: Store, weights: Places, key: Any) -> None:
        self._engine = engine
        self._store = store
        self._weights = weights
        self._key = key
        self._kind = f"{KIND} {engine.fingerprint()}"

    def of(self, items: Sequence[Continuation]) -> list[Gradient]:
        keys = [
            store_key(KIND, self._key, list(item.prompt_ids), list(item.reply_ids))
            for item in items
        ]
        rows = self._store.blobs(self._kind, keys)
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in rows}
        if missing:
            sketches = self._engine.reply_gradients(list(missing.values()), self._weights)
            fresh = {key: _packed(sketch) for key, sketch in zip(missing, sketches, strict=True)}
            self._store.put_blobs(self._kind, fresh, limit=LIMIT)
            rows |= fresh
        return [_unpacked(rows[key]) for key in keys]


def _packed(sketch: Any) -> bytes:
    """The norm in four bytes, then each number of the unit vector in two."""
    import numpy as np

    values = sketch.numpy()
    norm = float(np.linalg.norm(values))
    unit = values / norm if norm > 0 else values
    return bytes(np.float32(norm).tobytes() + unit.astype(np.float16).tobytes())


def _unpacked(row: bytes) -> Gradient:
    import numpy as np

    unit = np.frombuffer(row, np.float16, offset=4).astype(np.float32)
    return Gradient(unit=unit, norm=float(np.frombuffer(row[:4], np.float32)[0]))
