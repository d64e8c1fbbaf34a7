"""Writes a file whole or not at all: a kill or a full disk leaves the one that was there."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

# The folder takes no new file, or the file is a mount of its own (a container's volume).
NO_ROOM_BESIDE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}

# What a process holds open, as a path: /dev/stdout leads to one.
OPEN_FILE = re.compile(r"(?:/dev/fd|/proc/(?P<process>\d+)(?:/task/\d+)?/fd)/(?P<number>\d+)")
LINKS = 40  # in turn, as many as Linux follows


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path of a draft, which takes the place of `path` if the block ends without an error.

    Folders on the way are made. A link stays one: the file that it leads to is replaced. What
    is no regular file (a pipe) is written to directly, as is a file in a folder that takes no
    others. What a process holds open (/dev/stdout) keeps all that was written to it, and gets the
    draft's text besides.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if held := _open_file(path):
        with TemporaryDirectory() as folder:
            draft = Path(folder) / "draft"
            yield draft
            _append(held, draft.read_bytes())
        return
    path = path.resolve()
    draft = path.with_name(f".llmdiff-{uuid4().hex}.part")  # short, however long the file's name
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


def _open_file(path: Path) -> re.Match[str] | None:
    """The open file that a path leads to, by its process and number; None if it leads elsewhere.

    Links are followed one by one, since the last one leads on to a file, such as the log that
    stdout goes to.
    """
    for _ in range(LINKS):
        path = path.parent.resolve() / path.name
        if (held := OPEN_FILE.fullmatch(str(path))) or not path.is_symlink():
            return held
        path = path.parent / path.readlink()
    return None


def _append(held: re.Match[str], text: bytes) -> None:
    number, process = int(held["number"]), held["process"]
    if process in (None, str(os.getpid())):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # A copy of the descriptor shares its position: a file opened anew would begin at its own,
        # and what the process writes next would land in the midst of this text.
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(text)
    else:
        with Path(held[0]).open("ab") as file:
            file.write(text)


def _takes(draft: Path) -> bool:
    """Whether the draft's folder takes it."""
    try:
        draft.touch()
    except OSError as error:
        if error.errno in NO_ROOM_BESIDE:
            return False
        raise
    return True
