"""The timer that pytest-timeout sets for a test. It stands still while models answer: the first
test of a window waits for the replies of all, and a test of another worker waits with it.

Its two hooks are those that pytest-timeout documents for other plugins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

LEAST = 1.0  # seconds that a test has left, since a timer of nothing would never end


class Timer:
    """The timer of the running test, if pytest-timeout has set one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._set: tuple[pytest.Item, Any, float] | None = None  # its settings, and since when

    def began(self, item: pytest.Item, settings: Any) -> None:
        self._set = item, settings, self._clock()

    def ended(self) -> None:
        self._set = None

    def stopped(self) -> AbstractContextManager[None]:
        """The timer stands still, and then goes on with the time that was left."""
        return nullcontext() if self._set is None else self._stopped(*self._set)

    @contextmanager
    def _stopped(self, item: pytest.Item, settings: Any, since: float) -> Iterator[None]:
        left = max(LEAST, settings.timeout - (self._clock() - since))
        item.config.hook.pytest_timeout_cancel_timer(item=item)
        try:
            yield
        finally:
            settings = settings._replace(timeout=left)
            item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)
