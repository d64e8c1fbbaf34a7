"""Where a process spends its CPU time, by sampling its threads.

Each sample assigns the time since the last one to the thread's innermost frame in a named place.
Unlike a tracing profiler it hardly slows the code, so it does not inflate many small calls.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType

EVERY = 0.005  # seconds
# How soon a waiting thread gets the interpreter lock, in seconds. Otherwise the sampler would get
# it only when other threads release it, for example to write to a socket, and never see them
# elsewhere.
SWITCH = 0.00005


class Sampler(threading.Thread):
    """Samples all threads of this process except itself until it is stopped.

    `places` maps parts of file names to labels; the first match counts.
    """

    def __init__(self, places: dict[str, str]) -> None:
        super().__init__(name="sampler", daemon=True)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._places = places
        self._known: dict[str, str | None] = {}
        self._used: dict[int, float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        sys.setswitchinterval(SWITCH)
        while not self._ended.wait(EVERY):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                number = thread.native_id
                if thread is self or number is None or thread.ident not in frames:
                    continue
                used = cpu_seconds(number)
                # A new thread used all of its time since the last sample.
                spent = used - self._used.get(number, 0.0)
                self.seconds[self._place(frames[thread.ident])] += max(0.0, spent)
                self._used[number] = used

    def stop(self) -> dict[str, float]:
        """Seconds by label, `other` for the rest."""
        self._ended.set()
        self.join()
        return dict(self.seconds)

    def _place(self, frame: FrameType | None) -> str:
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self._known:
                found = (what for part, what in self._places.items() if part in name)
                self._known[name] = next(found, None)
            place = self._known[name]
            if place is not None:
                return place
            frame = frame.f_back
        return "other"


def cpu_seconds(thread: int) -> float:
    """CPU time of a thread of this process, by native id; 0 if it has ended."""
    try:
        status = Path(f"/proc/self/task/{thread}/schedstat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(status.split()[0]) / 1e9
