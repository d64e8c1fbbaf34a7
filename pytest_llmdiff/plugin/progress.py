"""Progress over the whole run: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from pytest_llmdiff.data.text.printing import duration

BAR = 24
EVERY = 30.0  # seconds between two plain lines
RECENT = 8  # windows that the time left is estimated from; the first one includes loading a model


def progress_for(config: pytest.Config) -> Silent | Terminal:
    """The progress of this process. xdist workers show none: they have no terminal."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        return Silent()
    live = reporter.isatty and not os.environ.get("CI")
    return Terminal(reporter, config.pluginmanager.get_plugin("capturemanager"), live=live)


class Silent:
    def expect(self, what: str, count: Callable[[], int]) -> None:
        pass

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass


class Terminal:
    """Writes to the terminal past pytest's capture, which is on while a test runs."""

    def __init__(
        self,
        reporter: Any,
        capture: Any,
        *,
        live: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = reporter
        self._capture = capture
        self._live = live
        self._clock = clock
        self._pace = Pace(clock)
        self._what = ""
        self._last_line: float | None = None  # when it was written

    def expect(self, what: str, count: Callable[[], int]) -> None:
        self._pace.expect(what, count())

    def start(self, what: str, total: int) -> None:
        self._what = what
        self._pace.start(what, total)
        if self._last_line is None:
            self._last_line = self._clock()
        if self._live:
            self._draw()

    def advance(self, count: int = 1) -> None:
        self._pace.advance(count)
        if self._live:
            self._draw()
        elif self._clock() - (self._last_line or 0) > EVERY:
            self._print_line()

    def finish(self) -> None:
        self._pace.finish()
        if self._live:
            with self._uncaptured():
                self._reporter.rewrite("", erase=True)
        # A line at the end of each kind of work; without a bar, another one now and then.
        silent = self._clock() - (self._last_line or 0)
        if not self._pace.left(self._what) or (not self._live and silent > EVERY):
            self._print_line()

    def _draw(self) -> None:
        done, total = self._pace.counts(self._what)
        filled = BAR * done // max(1, total)
        bar = "█" * filled + "░" * (BAR - filled)
        text = f"llmdiff: {self._what} {bar} {done}/{total}{self._time_left()}"
        with self._uncaptured():
            self._reporter.rewrite(text, erase=True)

    def _print_line(self) -> None:
        self._last_line = self._clock()
        done, total = self._pace.counts(self._what)
        seconds = self._pace.seconds(self._what)
        self._line(f"llmdiff: {self._what} {done}/{total} in {seconds:.1f} s{self._time_left()}")

    def _time_left(self) -> str:
        seconds = self._pace.time_left()
        return f", about {duration(seconds)} left" if seconds else ""

    def _line(self, text: str) -> None:
        with self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def _uncaptured(self) -> AbstractContextManager[Any]:
        if self._capture is None:
            return nullcontext()
        uncaptured: AbstractContextManager[Any] = self._capture.global_and_fixture_disabled()
        return uncaptured


class Pace:
    """Counts what is done and what is left of each kind of work, and estimates the time left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._recent: dict[str, deque[tuple[int, float]]] = {}
        self._what = ""
        self._window = 0
        self._started = 0.0

    def expect(self, what: str, count: int) -> None:
        self._left[what] = count

    def start(self, what: str, total: int) -> None:
        self._what, self._window, self._started = what, 0, self._clock()
        self._left[what] = max(self._left.get(what, 0), total)
        self._recent.setdefault(what, deque(maxlen=RECENT))

    def advance(self, count: int) -> None:
        self._window += count
        self._done[self._what] = self._done.get(self._what, 0) + count
        self._left[self._what] = max(0, self._left[self._what] - count)

    def finish(self) -> None:
        seconds = self._clock() - self._started
        self._seconds[self._what] = self._seconds.get(self._what, 0.0) + seconds
        self._recent[self._what].append((self._window, seconds))
        self._window, self._started = 0, self._clock()

    def left(self, what: str) -> int:
        return self._left[what]

    def counts(self, what: str) -> tuple[int, int]:
        """Done so far, and the total of the run."""
        done = self._done.get(what, 0)
        return done, done + self._left[what]

    def seconds(self, what: str) -> float:
        """Time spent so far, including the window in progress."""
        running = self._clock() - self._started if what == self._what and self._window else 0.0
        return self._seconds.get(what, 0.0) + running

    def time_left(self) -> float | None:
        """Seconds for all work that is left; None while the speed is unknown.

        Kinds of work that have not run yet are assumed to be as fast as the others.
        """
        paces = {what: pace for what in self._left if (pace := self._per_row(what)) is not None}
        if not paces:
            return None
        usual = sum(paces.values()) / len(paces)
        return sum(count * paces.get(what, usual) for what, count in self._left.items())

    def _per_row(self, what: str) -> float | None:
        windows = [*self._recent.get(what, ())]
        if what == self._what and self._window:
            windows.append((self._window, self._clock() - self._started))
        rows = sum(count for count, _ in windows)
        return sum(seconds for _, seconds in windows) / rows if rows else None
