"""What reads files, and the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`read` gets a folder with `files`, of which the first one is what others may have written."""

    name: str
    files: Mapping[str, bytes]
    read: Callable[[Path], object]

    @property
    def target(self) -> str:
        return next(iter(self.files))


def single(name: str, file: str, data: bytes, read: Callable[[Path], object]) -> Reader:
    return Reader(name=name, files={file: data}, read=lambda folder: read(folder / file))


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder hold these files, and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
