"""Writes a file whole or not at all: a kill or a full disk leaves the one that was there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The folder takes no new file, or the file is a mount of its own (a container's volume).
NO_ROOM_BESIDE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path of a draft, which takes the place of `path` if the block ends without an error.

    Folders on the way are made. A link stays one: the file that it leads to is replaced. What
    is no regular file (a pipe, /dev/stdout) is written to directly, as is a file in a folder that
    takes no others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    if path.exists() and not (path.is_file() and _takes(draft)):
        yield path
        return
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # a full disk may show only here
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        try:
            draft.replace(path)
        except OSError as error:
            if error.errno not in NO_ROOM_BESIDE or not path.exists():
                raise
            path.write_bytes(draft.read_bytes())
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _takes(draft: Path) -> bool:
    """Whether the draft's folder takes it."""
    try:
        draft.touch()
    except OSError as error:
        if error.errno in NO_ROOM_BESIDE:
            return False
        raise
    return True
