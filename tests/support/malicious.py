"""What a file of weights may hold that must never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)
