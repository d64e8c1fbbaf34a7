"""Content hashes of files, each computed once and kept in the store."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.store import Store

BLOB = re.compile("[0-9a-f]{64}")


def file_hash(store: Store, file: Path) -> str:
    """SHA-256 of a file, cached by its path, size, times and inode.

    The times include the change time (ctime): unlike the modification time, no copying tool sets it
    back. Files in the Hugging Face cache are links to blobs that are named by their hash, so these
    need no reading. Set LLMDIFF_FULL_HASH=1 to read every byte in any case.
    """
    target = file.resolve()
    full = os.environ.get("LLMDIFF_FULL_HASH", "0") != "0"
    if not full and _is_named_by_hash(file, target):
        return target.name
    status = target.stat()
    about = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    key = f"{os.fsencode(target)!r}:{about}"  # a path need not be UTF-8
    if not full:
        known = store.get("file-hash", [key])
        if key in known:
            return str(known[key])
    with target.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    # A file changed a moment ago could change again within the clock's resolution, unnoticed.
    if time.time() - status.st_ctime > 1:
        store.put("file-hash", {key: digest})
    return digest


def files_hash(store: Store, files: Sequence[Path]) -> dict[str, str]:
    """Content hashes of files by position and name, independent of their folder."""
    return {f"{place} {file.name}": file_hash(store, file) for place, file in enumerate(files)}


def _is_named_by_hash(link: Path, target: Path) -> bool:
    """Whether a link and what it leads to lie in one repository of the Hugging Face cache.

    Anywhere else somebody may have given a file the name of another's hash.
    """
    if target.parent.name != "blobs" or not BLOB.fullmatch(target.name):
        return False
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return False
    repository, folder = target.parent.parent, link.parent.resolve()
    known = repository.parent == Path(HF_HUB_CACHE).resolve()
    return known and folder.is_relative_to(repository / "snapshots")
