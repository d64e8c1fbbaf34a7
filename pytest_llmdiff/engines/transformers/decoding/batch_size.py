"""Batch sizes that shrink when memory runs out, and grow again later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from pytest_llmdiff.engines.devices import empty_cache
from pytest_llmdiff.engines.transformers.decoding.drafts import Ended
from pytest_llmdiff.engines.transformers.decoding.loop import Decoder
from pytest_llmdiff.errors import ModelError

T = TypeVar("T")


class BatchSize:
    """The current number of rows, `now`, between 1 and `most`.

    After memory ran out it doubles with each batch that works, up to three quarters of the size
    that was too much. Other processes may have freed memory since, so after `PATIENCE` batches that
    bound is dropped.
    """

    PATIENCE = 32

    def __init__(self, most: int) -> None:
        self._most = self._bound = self.now = most
        self._good = 0

    @property
    def short(self) -> bool:
        """Whether memory ran out with more rows than `now`."""
        return self.now < self._most

    def failed(self, used: int, message: str) -> None:
        """Memory ran out with `used` rows.

        Raises:
            ModelError: it was only one row.
        """
        empty_cache()
        if used <= 1:
            raise ModelError(
                "memory runs out with a single prompt; try a smaller --llmdiff-max-new-tokens, "
                f"--llmdiff-quantization or a larger device ({message.splitlines()[0]})"
            )
        self._bound = max(1, used * 3 // 4)
        self.now = max(1, used // 2)
        self._good = 0

    def worked(self) -> None:
        self._good += 1
        if self._good >= self.PATIENCE:
            self._bound = self._most
        self.now = min(2 * self.now, self._bound)


def in_batches(
    items: Sequence[T], size: BatchSize, run: Callable[[Sequence[T]], Any]
) -> Iterator[tuple[Sequence[T], Any]]:
    """Run items in batches; yields each batch with its result.

    Raises:
        ModelError: memory runs out with a single item.
    """
    start = 0
    while start < len(items):
        batch = items[start : start + size.now]
        try:
            result = run(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = str(error)
        else:
            start += len(batch)
            size.worked()
            yield batch, result
            continue
        # Not inside the handler, where the exception keeps frames and so tensors alive.
        size.failed(len(batch), message)


def decoded(
    make: Callable[[Sequence[int], int], Decoder],
    count: int,
    size: BatchSize,
    opened: Callable[[], AbstractContextManager[Any]],
) -> Iterator[tuple[int, Ended]]:
    """Index and outcome of each of `count` prompts as they finish.

    `make` returns a decoder for some of the prompts, with a number of rows. The model is `opened`
    for each advance, never across a `yield`.

    Raises:
        ModelError: memory runs out with a single prompt.
    """
    left = list(range(count))
    while left:
        places, rows = left, size.now
        decoder = make(places, rows)
        ended: set[int] = set()
        message = ""
        while not decoder.done and not message:
            found: list[Ended] = []
            try:
                with opened() as model:
                    found = decoder.advance(model)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = str(error)
            for row in found:
                ended.add(places[row.index])
                yield places[row.index], row
        left = [i for i in left if i not in ended]
        # Before the next decoder is made, since this one holds a KV cache.
        del decoder
        if message:
            size.failed(min(rows, len(places)), message)
        else:
            size.worked()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of CUDA, MPS or the CPU allocator means that memory ran out."""
    import torch

    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        word in str(error).lower() for word in words
    )
