"""Rows that advance together, one pass at a time, for sampling from two models at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines.transformers.decoding.forward import Forward
from pytest_llmdiff.engines.transformers.decoding.kv_cache import KVCache
from pytest_llmdiff.engines.transformers.decoding.prefix_cache import PrefixCache

if TYPE_CHECKING:
    import torch


class Steps:
    """Passes over `count` rows of up to `capacity` tokens; the model is `opened` for each."""

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Any]], count: int, capacity: int
    ) -> None:
        self._opened = opened
        self._cache = KVCache(count, capacity)
        self._lengths = [0] * count

    def __call__(self, feeds: Sequence[Sequence[int]]) -> torch.Tensor:
        """The logits `[rows, vocabulary]` of what follows, once each row has taken its tokens."""
        with self._opened() as model:
            forward = Forward(model)
            if not any(self._lengths):
                prefix = PrefixCache(feeds)
                prefix.fill(forward, self._cache, 0, len(feeds))
                feeds = [feed[prefix.size :] for feed in feeds]
                self._lengths = [prefix.size] * len(feeds)
            wanted = [(row, len(feed) - 1) for row, feed in enumerate(feeds)]
            _, logits = forward(self._cache, 0, feeds, self._lengths, wanted)
        self._lengths = [
            length + len(feed) for length, feed in zip(self._lengths, feeds, strict=True)
        ]
        return logits
