"""Asynchronous work whose results are read one by one from ordinary code."""

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
    """What `work` puts, in its order. An error of the work is raised behind the last result.

    The work has a thread with an event loop of its own: the caller may run in a loop already, and
    requests stay under way while it looks at a result. Closing the iterator cancels the work.
    """
    found: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(work(found.put))

    def run() -> None:
        error: BaseException | None = None
        try:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        except BaseException as raised:  # whatever it is, the reader raises it
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
        with suppress(RuntimeError):  # the loop is closed: the work is done
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
