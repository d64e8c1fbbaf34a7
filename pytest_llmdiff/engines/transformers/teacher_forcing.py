"""Teacher forcing: given replies run through a model; a prefix that prompts share is run once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Continuation
from pytest_llmdiff.engines.batching import Batch, batches, grouped
from pytest_llmdiff.engines.transformers.decoding.batch_size import BatchSize, in_batches
from pytest_llmdiff.engines.transformers.decoding.forward import Forward
from pytest_llmdiff.engines.transformers.decoding.kv_cache import GRAIN, STEADY_GRAIN, KVCache
from pytest_llmdiff.engines.transformers.decoding.loop_check import LoopCheck
from pytest_llmdiff.engines.transformers.decoding.padded import reply_logits
from pytest_llmdiff.engines.transformers.decoding.prefix_cache import PrefixCache

if TYPE_CHECKING:
    import torch


class TeacherForcing:
    """Runs given replies through a model, which is `opened` for each batch.

    `loop_check`, `window` and `steady` are the engine's: models that the decode loop
    cannot serve, and sequences beyond the window, go through whole and padded.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Any]],
        *,
        loop_check: LoopCheck,
        window: int | None,
        steady: bool,
        pad_id: int,
    ) -> None:
        self._opened = opened
        self._loop_check = loop_check
        self._window = window
        self._steady = steady
        self._pad_id = pad_id

    def logits(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and logits `[len(reply_ids), vocabulary]`; about `rows` rows are held at once."""
        longest = max(len(item.prompt_ids) + len(item.reply_ids) for item in items)
        if self._loop_check.unserved or (self._window is not None and longest > self._window):
            yield from self._whole(items, rows)
            return
        plain = self._loop_check.plain
        for batch, states, logits in self._passes(items, None if plain else rows):
            first = 0
            for group in grouped([len(items[i].reply_ids) for i in batch], rows):
                lengths = [len(items[batch[n]].reply_ids) for n in group]
                part = slice(first, first + sum(lengths))
                scores = self.state_logits(states[part]) if plain else logits[part]
                yield from zip((batch[n] for n in group), _split(scores, lengths), strict=True)
                first = part.stop

    def states(self, items: Sequence[Continuation]) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and last hidden states of each reply, `[len(reply_ids), hidden]`."""
        for batch, states, _ in self._passes(items, None):
            lengths = [len(items[i].reply_ids) for i in batch]
            yield from zip(batch, _split(states, lengths), strict=True)

    def state_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits `[n, vocabulary]` of states `[n, hidden]`, where the loop check found it plain."""
        with self._opened() as model:
            return Forward(model).logits(states)

    def _passes(
        self, items: Sequence[Continuation], rows: int | None
    ) -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor]]:
        """Batches of items with the hidden states of their replies, and logits if not plain."""

        def run(batch: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
            with self._opened() as model:
                forward = Forward(model, plain=self._loop_check.plain)
                return reply_states(forward, [items[i] for i in batch], steady=self._steady)

        for cut in batches(items, rows=rows, alone=self._steady):
            for batch, (states, logits) in in_batches(cut, BatchSize(len(cut)), run):
                yield list(batch), states, logits

    def _whole(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        width = max(len(item.reply_ids) for item in items) + 1

        def run(batch: Sequence[int]) -> list[torch.Tensor]:
            with self._opened() as model:
                return reply_logits(
                    model,
                    [items[i].prompt_ids for i in batch],
                    [items[i].reply_ids for i in batch],
                    pad_id=self._pad_id,
                )

        size = BatchSize(max(1, rows // width))
        for batch, logits in in_batches(range(len(items)), size, run):
            yield from zip(batch, logits, strict=True)


def reply_states(
    forward: Forward, items: Sequence[Continuation], *, steady: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The last hidden states that predict the replies' tokens, `[tokens, hidden]`, and logits.

    The tokens of all replies are concatenated. The logits are `[tokens, vocabulary]` where the
    output layer alone does not produce them; else they have only the first row.
    """
    prefix = PrefixCache([item.prompt_ids for item in items])
    feeds = [[*item.prompt_ids[prefix.size :], *item.reply_ids[:-1]] for item in items]
    wanted = [
        (number, column)
        for number, (feed, item) in enumerate(zip(feeds, items, strict=True))
        for column in range(len(feed) - len(item.reply_ids), len(feed))
    ]
    width = prefix.size + max(map(len, feeds))
    cache = KVCache(len(items), width, grain=STEADY_GRAIN if steady else GRAIN)
    prefix.fill(forward, cache, 0, len(items))
    offsets = [prefix.size] * len(items)
    return forward(cache, 0, feeds, offsets, wanted, logits=not forward.plain)


def _split(rows: torch.Tensor, lengths: Sequence[int]) -> list[torch.Tensor]:
    parts: list[torch.Tensor] = rows.split(list(lengths))  # type: ignore[no-untyped-call]
    return parts
