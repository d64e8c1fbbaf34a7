"""Progress over the whole run: a bar with the time left on a terminal, a few plain lines elsewhere.

Neither disturbs the line in which pytest writes a dot for each test.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from shutil import get_terminal_size
from typing import Any

import pytest

from pytest_llmdiff.data.text.printing import duration

BAR = 24
REDRAWN = 0.1  # seconds between two states of the bar
# Seconds until the first plain line, and at most between two: the time doubles with each. Some CI
# services end a job that says nothing for 10 minutes.
FIRST, LONGEST = 30.0, 300.0
RECENT = 8  # windows that the time left is estimated from; the first one includes loading a model
FEW = 4  # rows of a window that say too little about its speed
# In the line below, and back to where the cursor was. Moving down first makes that line exist.
BELOW, BACK = "\x1bD\x1b[A\x1b7\x1bD\r\x1b[2K", "\x1b8"


def progress_for(config: pytest.Config) -> Silent | Bar | Lines:
    """The progress of this process. xdist workers show none: they have no terminal."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.get_verbosity() < 0:
        return Silent()
    capture = config.pluginmanager.get_plugin("capturemanager")
    plain = os.environ.get("CI") or os.environ.get("TERM") == "dumb" or sys.platform == "win32"
    if reporter.isatty and not plain:
        return Bar(capture)
    return Lines(capture, reporter)


class Silent:
    def expect(self, what: str, count: Callable[[], int]) -> None:
        pass

    def start(self, what: str, total: int) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass


class _Shown:
    """What is common to both: the pace, and writing past pytest's capture, which is on while a test
    runs."""

    def __init__(self, capture: Any, clock: Callable[[], float]) -> None:
        self._capture = capture
        self._clock = clock
        self._pace = Pace(clock)
        self._what = ""
        self._last: float | None = None  # when something was shown

    def expect(self, what: str, count: Callable[[], int]) -> None:
        self._pace.expect(what, count())

    def start(self, what: str, total: int) -> None:
        self._what = what
        self._pace.start(what, total)

    def _time_left(self) -> str:
        seconds = self._pace.time_left()
        return f", about {duration(seconds)} left" if seconds else ""

    def _uncaptured(self) -> AbstractContextManager[Any]:
        if self._capture is None:
            return nullcontext()
        uncaptured: AbstractContextManager[Any] = self._capture.global_and_fixture_disabled()
        return uncaptured


class Bar(_Shown):
    """A bar below the line that pytest writes to, gone when the work is done."""

    def __init__(
        self,
        capture: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(capture, clock)
        self._write = write or _to_terminal

    def start(self, what: str, total: int) -> None:
        super().start(what, total)
        self._draw()

    def advance(self, count: int = 1) -> None:
        self._pace.advance(count)
        if self._last is None or self._clock() - self._last >= REDRAWN:
            self._draw()

    def finish(self) -> None:
        self._pace.finish()
        self._show("")

    def _draw(self) -> None:
        self._last = self._clock()
        done, total = self._pace.counts(self._what)
        filled = BAR * done // max(1, total)
        bar = "█" * filled + "░" * (BAR - filled)
        self._show(f"llmdiff: {self._what} {bar} {done}/{total}{self._time_left()}")

    def _show(self, text: str) -> None:
        with self._uncaptured():  # past the reporter, which counts the columns of what it writes
            self._write(f"{BELOW}{text[: get_terminal_size().columns - 1]}{BACK}")


def _to_terminal(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class Lines(_Shown):
    """A line now and then, ever more rarely; none in a short run."""

    def __init__(
        self, capture: Any, reporter: Any, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(capture, clock)
        self._reporter = reporter
        self._wait = FIRST

    def start(self, what: str, total: int) -> None:
        super().start(what, total)
        if self._last is None:
            self._last = self._clock()

    def advance(self, count: int = 1) -> None:
        self._pace.advance(count)
        if self._clock() - (self._last or 0) >= self._wait:
            self._last, self._wait = self._clock(), min(2 * self._wait, LONGEST)
            self._print()

    def finish(self) -> None:
        self._pace.finish()

    def _print(self) -> None:
        done, total = self._pace.counts(self._what)
        reporter, running = self._reporter, os.environ.get("PYTEST_CURRENT_TEST", "")
        text = f"llmdiff: {self._what} {done}/{total}{self._time_left()}"
        with self._uncaptured():
            reporter.ensure_newline()
            if running and reporter.showfspath:  # dots go on behind the name of their file
                reporter.write(text)
                reporter.write_fspath_result(running.rpartition(" ")[0], "")
            else:
                reporter.write_line(text)


class Pace:
    """Counts what is done and what is left of each kind of work, and estimates the time left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, int] = {}
        self._done: dict[str, int] = {}
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
        self._recent[self._what].append((self._window, seconds))
        self._window, self._started = 0, self._clock()

    def counts(self, what: str) -> tuple[int, int]:
        """Done so far, and the total of the run."""
        done = self._done.get(what, 0)
        return done, done + self._left[what]

    def time_left(self) -> float | None:
        """Seconds for all work that is left; None while the speed is unknown, which is until a
        window is done: the first rows wait for a model to be loaded.

        Kinds of work that have not run yet are assumed to be as fast as the others.
        """
        if not any(self._recent.values()):
            return None
        paces = {what: pace for what in self._left if (pace := self._per_row(what)) is not None}
        if not paces:
            return None
        usual = sum(paces.values()) / len(paces)
        return sum(count * paces.get(what, usual) for what, count in self._left.items())

    def _per_row(self, what: str) -> float | None:
        windows = [*self._recent.get(what, ())]
        if what == self._what and self._window >= FEW:
            windows.append((self._window, self._clock() - self._started))
        rows = sum(count for count, _ in windows)
        return sum(seconds for _, seconds in windows) / rows if rows else None
