"""The keys and values of a batch, each row in a fixed place.

Every row begins at column 0 without gaps, so that a token's position is its column, and a row can
join, leave or drop its last tokens without moving the others. A decoding step writes one column and
copies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Columns are read in multiples of this: as many as usually fill a page of memory per head.
GRAIN = 16
# The same where the batch must not change results: kernels round the last, partial block of columns
# differently from full ones.
STEADY_GRAIN = 64


class KVCache:
    """Room for `count` rows of up to `capacity` tokens.

    `past` is what a model's forward pass takes as its cache. Before each pass, `place` sets the
    rows and the columns that it is about.
    """

    def __init__(self, count: int, capacity: int, *, grain: int = GRAIN) -> None:
        from transformers.cache_utils import Cache

        self._grain = grain
        self._storage = _Storage(capacity=-(-capacity // grain) * grain, clean=[0] * count)
        layer, storage = _layer_class(), self._storage
        # transformers adds a layer when the model first writes to it.
        self.past: Any = Cache(layer_class_to_replicate=lambda: layer(storage))

    @property
    def width(self) -> int:
        """Number of columns that the pass reads."""
        return self._storage.width

    def place(self, start: int, columns: torch.Tensor, width: int) -> None:
        """The next pass writes its tokens at `columns` `[rows, tokens]` of the rows from `start`
        on, and reads their first `width` columns, rounded up to the grain.

        Columns beyond the capacity are padding, which is written to the last column. A row with so
        much padding must have no token there.
        """
        storage = self._storage
        storage.rows = slice(start, start + columns.shape[0])
        storage.columns = columns.clamp(max=storage.capacity - 1)
        storage.width = self._cleaned(storage.rows, width)

    def fill(self, start: int, stop: int, other: KVCache, width: int) -> None:
        """Copy the first `width` columns of the other cache's first row into these rows."""
        self._cleaned(slice(start, stop), width)
        while len(self.past.layers) < len(other.past.layers):
            self.past.layers.append(self.past.layer_class_to_replicate())
        for layer, source in zip(self.past.layers, other.past.layers, strict=True):
            if source.keys is None:
                continue  # a layer that shares the keys of another layer
            if layer.keys is None:
                layer.lazy_initialization(source.keys, source.values)
            layer.keys[start:stop, :, :width] = source.keys[:1, :, :width]
            layer.values[start:stop, :, :width] = source.values[:1, :, :width]

    def move(self, source: int, target: int) -> None:
        """Copy a row to the place of another."""
        # Only the columns that were ever read: the others take no memory yet.
        clean = self._storage.clean
        for part in self._parts():
            part[target, :, : clean[source]] = part[source, :, : clean[source]]
        clean[target] = max(clean[source], clean[target])

    def _cleaned(self, rows: slice, width: int) -> int:
        """Round the width up, and zero the columns that these rows have not read before: unwritten
        memory may be NaN, and a masked NaN is still NaN. The memory of rows that have ended is not
        touched."""
        storage = self._storage
        width = min(-(-width // self._grain) * self._grain, storage.capacity)
        first = rows.start
        for clean, same in groupby(storage.clean[rows]):
            last = first + len(list(same))
            if clean < width:
                for part in self._parts():
                    part[first:last, :, clean:width] = 0
                storage.clean[first:last] = [width] * (last - first)
            first = last
        return width

    def _parts(self) -> list[torch.Tensor]:
        layers = [layer for layer in self.past.layers if layer.keys is not None]
        return [part for layer in layers for part in (layer.keys, layer.values)]


@dataclass
class _Storage:
    """What the layers share: the size, and the places of the current pass.

    It is a separate object, so that cache and layers form no reference cycle: their memory is freed
    with the last reference, without waiting for the garbage collector.
    """

    capacity: int
    clean: list[int]  # number of columns of each row that have been zeroed or written
    width: int = 0
    rows: slice = field(default_factory=lambda: slice(0))
    columns: Any = None

    def empty(self, like: torch.Tensor) -> torch.Tensor:
        """`[count, heads, capacity, width of a head]`, zero in the columns that are read."""
        found = like.new_empty(len(self.clean), like.shape[1], self.capacity, like.shape[3])
        for row, clean in enumerate(self.clean):
            found[row, :, :clean] = 0
        return found

    def written(self, part: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Write `[rows, heads, tokens, width of a head]` to its places; returns what is read."""
        rows = part[self.rows]
        index = self.columns.to(new.device)[:, None, :, None].expand_as(new)
        rows.scatter_(2, index, new)
        return rows[:, :, : self.width]


def _layer_class() -> type[Any]:
    """The class of a layer, defined on use because its parent imports torch."""
    from transformers.cache_utils import CacheLayerMixin

    class KVLayer(CacheLayerMixin):  # type: ignore[misc]
        """Keys and values of one layer."""

        is_sliding = False

        def __init__(self, storage: _Storage) -> None:
            super().__init__()
            self.keys: torch.Tensor | None = None
            self.values: torch.Tensor | None = None
            self._storage = storage

        def lazy_initialization(self, keys: torch.Tensor, values: torch.Tensor) -> None:
            self.keys, self.values = self._storage.empty(keys), self._storage.empty(values)
            self.is_initialized = True

        def update(
            self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if self.keys is None or self.values is None:
                self.lazy_initialization(keys, values)
            assert self.keys is not None
            assert self.values is not None
            return self._storage.written(self.keys, keys), self._storage.written(
                self.values, values
            )

        def get_seq_length(self) -> int:
            return self._storage.width

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
            return self._storage.width, 0

        def get_max_length(self) -> int:
            return -1

    return KVLayer
