"""The prefix that prompts share, run once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.engines.transformers.decoding.kv_cache import KVCache

if TYPE_CHECKING:
    from pytest_llmdiff.engines.transformers.decoding.forward import Forward

# A shorter prefix is not worth a forward pass of its own.
SHORTEST = 4


class PrefixCache:
    """The tokens that all prompts begin with. Each prompt has at least one more after them."""

    def __init__(self, prompts: Sequence[Sequence[int]]) -> None:
        self._ids = common_prefix(prompts)
        self._cache: KVCache | None = None

    @property
    def size(self) -> int:
        return len(self._ids)

    def fill(self, forward: Forward, cache: KVCache, start: int, stop: int) -> None:
        """Copy its keys and values into the rows from `start` to `stop`."""
        if not self._ids:
            return
        if self._cache is None:
            self._cache = KVCache(1, self.size)
            forward(self._cache, 0, [self._ids], [0], [(0, 0)])
        cache.fill(start, stop, self._cache, self.size)


def common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The longest prefix of all prompts; empty if it is too short to share."""
    if len(prompts) < 2:
        return []
    # In sorted order, the first and the last prompt have the least in common.
    first, last = min(map(list, prompts)), max(map(list, prompts))
    length = min(common_length(first, last), min(map(len, prompts)) - 1)
    return list(first[:length]) if length >= SHORTEST else []
