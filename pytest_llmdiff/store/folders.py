"""Folders that only their user may read: the store's own, and places for its key."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def make_store_folder(folder: Path) -> None:
    """A folder that git ignores, if there is none. It appears whole or not at all, so that a kill
    cannot leave one that git would take."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".llmdiff-", dir=folder.parent))
    try:
        (draft / ".gitignore").write_text("*\n", encoding="utf-8")
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not folder.is_dir():  # another process may have made it
            raise


def cache_folder() -> Path:
    """This package's folder among the user's caches.

    Raises:
        OSError: the user has no home.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        caches = given if given.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return caches / "pytest-llmdiff"


def temporary_folder() -> Path:
    """A folder of this user among the temporary files, the same in all processes.

    Raises:
        OSError: somebody else made it, or may read it.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"pytest-llmdiff-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or (os.name == "posix" and status.st_mode & 0o077):
        raise OSError(f"{folder} is not this user's alone")
    if not is_own(status):
        raise OSError(f"{folder} belongs to another user")
    return folder


def is_own(status: os.stat_result) -> bool:
    """Whether a file belongs to this user; to root, all do."""
    return not hasattr(os, "geteuid") or os.geteuid() in (0, status.st_uid)


def is_read_only(file: Path) -> bool:
    """Whether a file is there that cannot be written, or whose folder takes no files."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def tracked_by_git(file: Path) -> bool:
    """Whether a git repository tracks the file."""
    folder = file.resolve().parent
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return False
    import subprocess

    # Whatever the repository's own configuration would run is switched off.
    command = ["git", "-c", "core.fsmonitor=", "ls-files", "--", file.name]
    try:
        found = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=10, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and bool(found.stdout.strip())
