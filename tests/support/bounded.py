"""Runs code that would never end, or take all memory, if a bound were missing."""

from __future__ import annotations

import subprocess
import sys

LIMITS = """
import resource
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
"""


def bounded(code: str, *args: object, memory: int = 1 << 30, seconds: int = 10) -> str:
    """What the code prints, in a process with so many bytes of memory and seconds of CPU.

    `args` are its `sys.argv[1:]`. Raises AssertionError where it fails.
    """
    limits = LIMITS.format(memory=memory, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", limits + code, *map(str, args)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout
