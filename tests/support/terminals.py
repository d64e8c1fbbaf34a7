"""A pseudo-terminal of 80 columns to run pytest on, and what is left on its screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?]*)([A-Za-z])|([78D]))|(.)", re.DOTALL)


def on_terminal(folder: Path, *args: str) -> str:
    """What pytest writes."""
    pty = pytest.importorskip("pty", reason="needs a POSIX terminal")
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *args], cwd=folder, stdout=theirs, stderr=theirs,
        env=environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    process.wait()
    return shown.decode()


def screen(written: str, rows: int) -> list[str]:
    """The lines of a terminal with that many rows, and those that have left it at the top."""
    lines: list[list[str]] = [[]]
    y = x = 0
    saved = (0, 0)

    def top() -> int:
        return max(0, len(lines) - rows)

    for parameters, command, single, character in SEQUENCE.findall(written):
        if single == "7":
            saved = y - top(), x
        elif single == "8":
            y, x = saved[0] + top(), saved[1]
        elif single == "D" or character == "\n":
            y += 1
            lines += [[]] if y == len(lines) else []
        elif command == "A":
            y = max(top(), y - int(parameters or 1))
        elif command == "K":
            lines[y] = [] if parameters == "2" else lines[y][:x]
        elif character == "\r":
            x = 0
        elif character:
            lines[y] += " " * (x - len(lines[y]))
            lines[y][x : x + 1] = character
            x += 1
    return ["".join(line).rstrip() for line in lines]
