"""Runs asynchronous work in a thread, and yields its results to synchronous code."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Put = Callable[[T], None]


@dataclass(frozen=True, kw_only=True)
class _End:
    error: BaseException | None


def as_they_come(work: Callable[[Put[T]], Coroutine[Any, Any, None]]) -> Iterator[T]:
    """Yields what `work` puts, in order. If it fails, its error is raised after the last result.

    The work has its own thread and event loop, since the caller may already run in a loop, and
    requests continue while the caller handles a result. Closing the iterator cancels the work.
    """
    found: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(found.put))

    def run() -> None:
        error: BaseException | None = None
        try:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        except BaseException as raised:  # any error is raised by the reader
            error = raised
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            found.put(_End(error=error))

    thread = threading.Thread(target=run, name="llmdiff-requests", daemon=True)
    thread.start()
    try:
        while not isinstance(item := found.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        with suppress(RuntimeError):  # the work is done and the loop closed
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
