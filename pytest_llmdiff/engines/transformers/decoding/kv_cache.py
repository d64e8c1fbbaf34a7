"""Keys and values of a batch in fixed places: a row keeps its place, whoever comes and goes.

Every row begins at column 0 and its tokens stand one behind the other, so that a token's position
is its column and a row can join, leave or forget its last tokens without moving the others. A
step of decoding writes one column and copies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Columns are read in multiples of this; so many of a head fill a page of memory, usually.
GRAIN = 16
# The same where shapes must not tell on the numbers: kernels treat a remainder otherwise than a
# full block.
STEADY_GRAIN = 64


class KVCache:
    """Room for `count` rows of up to `capacity` tokens, as the cache of a model's forward passes.

    Before a pass, `place` says which rows it is about and where its tokens stand.
    """

    def __init__(self, count: int, capacity: int, *, grain: int = GRAIN) -> None:
        from transformers.cache_utils import Cache

        self._grain = grain
        self._room = _Room(capacity=-(-capacity // grain) * grain, clean=[0] * count)
        layer, room = _layer_class(), self._room
        # transformers adds a layer when a model's layer writes to it for the first time.
        self.past: Any = Cache(layer_class_to_replicate=lambda: layer(room))

    @property
    def width(self) -> int:
        """Columns that the pass reads."""
        return self._room.width

    def place(self, start: int, columns: torch.Tensor, width: int) -> None:
        """The next pass writes its tokens at `columns` `[rows, tokens]` of the rows from `start`
        on, and reads their first `width` columns, rounded up to the grain.

        What lies beyond the capacity is padding, and goes to the last column: a row that is padded
        so far must have no token there.
        """
        room = self._room
        room.rows = slice(start, start + columns.shape[0])
        room.columns = columns.clamp(max=room.capacity - 1)
        room.width = self._cleaned(room.rows, width)

    def fill(self, start: int, stop: int, other: KVCache, width: int) -> None:
        """Begin rows with the first columns of another's first row."""
        self._cleaned(slice(start, stop), width)
        while len(self.past.layers) < len(other.past.layers):
            self.past.layers.append(self.past.layer_class_to_replicate())
        for layer, source in zip(self.past.layers, other.past.layers, strict=True):
            if source.keys is None:
                continue  # a layer that shares the keys of another holds none
            if layer.keys is None:
                layer.lazy_initialization(source.keys, source.values)
            layer.keys[start:stop, :, :width] = source.keys[:1, :, :width]
            layer.values[start:stop, :, :width] = source.values[:1, :, :width]

    def move(self, source: int, target: int) -> None:
        """Let a row stand where another stood."""
        # No further than was ever read: the rest takes no memory yet.
        clean = self._room.clean
        for part in self._parts():
            part[target, :, : clean[source]] = part[source, :, : clean[source]]
        clean[target] = max(clean[source], clean[target])

    def _cleaned(self, rows: slice, width: int) -> int:
        """The width rounded up, after zeros were put where nothing was read before: what was never
        written may be NaN, and a masked NaN is still one. Only in these rows: a batch whose rows
        end needs no more memory for them."""
        room = self._room
        width = min(-(-width // self._grain) * self._grain, room.capacity)
        first = rows.start
        for clean, same in groupby(room.clean[rows]):
            last = first + len(list(same))
            if clean < width:
                for part in self._parts():
                    part[first:last, :, clean:width] = 0
                room.clean[first:last] = [width] * (last - first)
            first = last
        return width

    def _parts(self) -> list[torch.Tensor]:
        layers = [layer for layer in self.past.layers if layer.keys is not None]
        return [part for layer in layers for part in (layer.keys, layer.values)]


@dataclass
class _Room:
    """What the layers know of their slots: the size, and the places of the pass.

    An object of its own, so that slots and layers are no cycle: their memory is to be free when
    the last one lets go of them, not when Python looks for cycles.
    """

    capacity: int
    clean: list[int]  # columns of each row that have been read, and are no NaN
    width: int = 0
    rows: slice = field(default_factory=lambda: slice(0))
    columns: Any = None

    def empty(self, like: torch.Tensor) -> torch.Tensor:
        """`[count, heads, capacity, width of a head]`, zero as far as it is read."""
        found = like.new_empty(len(self.clean), like.shape[1], self.capacity, like.shape[3])
        for row, clean in enumerate(self.clean):
            found[row, :, :clean] = 0
        return found

    def written(self, part: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Put `[rows, heads, tokens, width of a head]` in its places; returns what is read."""
        rows = part[self.rows]
        index = self.columns.to(new.device)[:, None, :, None].expand_as(new)
        rows.scatter_(2, index, new)
        return rows[:, :, : self.width]


def _layer_class() -> type[Any]:
    """The class of a layer of `KVCache`, made on use: its parent comes with torch."""
    from transformers.cache_utils import CacheLayerMixin

    class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
        """Keys and values of one layer."""

        is_sliding = False

        def __init__(self, room: _Room) -> None:
            super().__init__()
            self.keys: torch.Tensor | None = None
            self.values: torch.Tensor | None = None
            self._room = room

        def lazy_initialization(self, keys: torch.Tensor, values: torch.Tensor) -> None:
            self.keys, self.values = self._room.empty(keys), self._room.empty(values)
            self.is_initialized = True

        def update(
            self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if self.keys is None or self.values is None:
                self.lazy_initialization(keys, values)
            assert self.keys is not None
            assert self.values is not None
            return self._room.written(self.keys, keys), self._room.written(self.values, values)

        def get_seq_length(self) -> int:
            return self._room.width

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
            return self._room.width, 0

        def get_max_length(self) -> int:
            return -1

    return SlotLayer
