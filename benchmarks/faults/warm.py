"""A run in a fork of the process that starts it."""

from __future__ import annotations

import os
import subprocess
import time

PATIENCE = 300.0  # seconds until a run counts as hung; it takes 2 on a quiet machine


class Warm:
    """A forked run, with the methods of `Popen` that are used here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("pytest", timeout)
            time.sleep(0.002)
        return code
