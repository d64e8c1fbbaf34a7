"""Signals that end a run: each ends it as Ctrl-C does, with reports, and none cuts a report off."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A cancelled or timed-out CI job sends SIGTERM, a terminal that is closed SIGHUP.
LIKE_CTRL_C = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def end_as_ctrl_c() -> None:
    """Let these signals raise KeyboardInterrupt, where nobody else handles or ignores them."""
    if threading.current_thread() is threading.main_thread():
        for number in LIKE_CTRL_C:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)


def end_at_once() -> None:
    """Undo `end_as_ctrl_c`."""
    if threading.current_thread() is threading.main_thread():
        for number in LIKE_CTRL_C:
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[list[int]]:
    """Keep the first of these signals from ending the block, and yield a list that then has it. A
    second one ends the block."""
    held = list[int]()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            signal.default_int_handler(number, frame)
        held.append(number)

    numbers = (signal.SIGINT, *LIKE_CTRL_C)
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] is signal.default_int_handler]
    try:
        for number in ours:
            signal.signal(number, hold)
        yield held
    finally:
        for number in ours:
            signal.signal(number, before[number])
