"""Work in a fork of this process with bounds of time and memory; what breaks one is told."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MEMORY = 1 << 30
SECONDS = 10.0
PATIENCE = 300.0  # on the clock: a server or another process is waited for


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one piece of work: what it returned, or how its process ended."""

    index: int
    value: Any = None
    ended: str | None = None


def bounded(work: Callable[[int], Any], count: int) -> Iterator[Outcome]:
    """`work(0)` to `work(count - 1)`, whose values are plain JSON.

    Each piece has `SECONDS` of CPU, and all together `MEMORY` beyond what the process has now. A
    piece that ends the process is told of, and the next one gets a new fork.
    """
    index = 0
    while index < count:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            _serve(work, range(index, count), write)
        os.close(write)
        try:
            for line in _lines(read):
                yield Outcome(index=index, value=json.loads(line))
                index += 1
        finally:
            os.close(read)
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if index < count:
            yield Outcome(index=index, ended=_told(status))
            index += 1


def _serve(work: Callable[[int], Any], indices: range, write: int) -> None:
    try:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_virtual() + MEMORY, most))
        for index in indices:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
            value = work(index)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(write, json.dumps(value).encode() + b"\n")
    finally:
        os._exit(1)


def _virtual() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * resource.getpagesize()


def _lines(read: int) -> Iterator[bytes]:
    """Lines until the other end is closed, or nothing comes for too long."""
    rest, until = b"", time.monotonic() + PATIENCE
    while (left := until - time.monotonic()) > 0 and select.select([read], [], [], left)[0]:
        part = os.read(read, 1 << 16)
        if not part:
            return
        *lines, rest = (rest + part).split(b"\n")
        if lines:
            until = time.monotonic() + PATIENCE
        yield from lines


def _told(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGPROF:
        return f"no end within {SECONDS:g} seconds of CPU"
    if code == -signal.SIGKILL:
        return f"no end within {PATIENCE:g} seconds"
    return f"the process ended with {code}"
