"""Progress while a window is generated: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

BAR = 24
EVERY = 30.0  # seconds between two plain lines of one window


def progress_for(config: pytest.Config) -> Silent | Terminal:
    """What suits the run. xdist workers have no terminal: their controller shows the tests."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        return Silent()
    live = reporter.isatty and not os.environ.get("CI")
    return Terminal(reporter, config.pluginmanager.get_plugin("capturemanager"), live=live)


class Silent:
    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass


class Terminal:
    """Writes past pytest's capture, which is on while a test runs."""

    def __init__(self, reporter: Any, capture: Any, *, live: bool) -> None:
        self._reporter = reporter
        self._capture = capture
        self._live = live
        self._what = ""
        self._total = self._done = 0
        self._started = self._said = 0.0

    def start(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._started = self._said = time.monotonic()
        if self._live:
            self._draw()

    def advance(self, count: int = 1) -> None:
        self._done += count
        if self._live:
            self._draw()
        elif time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            self._line(f"llmdiff: {self._what} {self._done}/{self._total}")

    def finish(self) -> None:
        seconds = time.monotonic() - self._started
        if self._live:
            with self._uncaptured():
                self._reporter.rewrite("", erase=True)
        self._line(f"llmdiff: {self._what} {self._done}/{self._total} in {seconds:.1f} s")

    def _draw(self) -> None:
        filled = BAR * self._done // max(1, self._total)
        bar = "█" * filled + "░" * (BAR - filled)
        with self._uncaptured():
            self._reporter.rewrite(f"llmdiff: {self._what} {bar} {self._done}/{self._total}")

    def _line(self, text: str) -> None:
        with self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def _uncaptured(self) -> AbstractContextManager[Any]:
        if self._capture is None:
            return nullcontext()
        found: AbstractContextManager[Any] = self._capture.global_and_fixture_disabled()
        return found
