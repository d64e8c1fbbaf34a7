"""Replies, scores and statistics on disk, shared by parallel workers and later runs.

One SQLite file. Each batch of rows is a transaction, so a killed run loses only what was in flight.
Callers make the keys, which are content hashes; each value has a checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

    from filelock import BaseFileLock


# Made once: with arguments other than its defaults, `json.dumps` makes a new encoder on every call.
CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def store_key(kind: str, *parts: Any) -> str:
    """The key of a row. This package's version is part of it: releases may measure or split text
    differently."""
    return content_key([kind, installed_version("pytest-llmdiff"), *parts])


def key_within(prefix: str, key: str) -> str:
    """A key made of a prefix that many rows share, and a row's own key."""
    return hashlib.sha256(f"{prefix} {key}".encode()).hexdigest()


def content_key(value: Any) -> str:
    """SHA-256 of a plain JSON value in canonical form."""
    return hashlib.sha256(CANONICAL.encode(value).encode()).hexdigest()


SCHEMA = 2
UNREADABLE = 2000  # ranges of rows that may fail while a damaged file is read
BLOB = re.compile("[0-9a-f]{64}")
T = TypeVar("T")


class Store:
    """A folder with the database and the locks. Opened on first use; safe across processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "store.sqlite3"
        self.warnings: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def get(self, kind: str, keys: Iterable[str]) -> dict[str, Any]:
        """The stored values by key, without those whose checksum is wrong."""
        return {key: json.loads(value.decode()) for key, value in self.blobs(kind, keys).items()}

    def blobs(self, kind: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Like `get`, for values that are bytes."""
        found: dict[str, bytes] = {}
        for part in _parts(keys):
            # Cast to bytes: a damaged value may not be text.
            columns = "key, CAST(value AS BLOB), crc"
            query = f"SELECT {columns} FROM rows WHERE kind = ? AND key IN ({_marks(part)})"
            for key, value, crc in self._all(query, [kind, *part]):
                if value is not None and zlib.crc32(value) == crc:
                    found[key] = value
                else:
                    self._warn("a damaged row is computed again")
        return found

    def stored_keys(self, kind: str, keys: Iterable[str]) -> set[str]:
        """The keys that have a row. Values are not read, so a row may be damaged."""
        found: set[str] = set()
        for part in _parts(keys):
            query = f"SELECT key FROM rows WHERE kind = ? AND key IN ({_marks(part)})"
            found.update(key for (key,) in self._all(query, [kind, *part]))
        return found

    def put(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write plain JSON values in one transaction."""
        rows: list[tuple[str, str, str | bytes, int]] = []
        for key, value in values.items():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            # A lone surrogate cannot be stored as UTF-8; its escaped form can.
            with_escapes = text if _encodable(text) else json.dumps(value)
            rows.append((kind, key, with_escapes, zlib.crc32(with_escapes.encode())))
        self._write(rows)

    def get_or_put(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """The value of one key; computed and stored if it is missing. Takes no lock: processes that
        need it at the same moment each compute it."""
        known = self.get(kind, [key])
        if key not in known:
            known = {key: compute()}
            self.put(kind, known)
        return known[key]

    def put_blobs(self, kind: str, values: Mapping[str, bytes], *, limit: int) -> None:
        """Write bytes in one transaction, unless there is no room.

        `kind` is "FAMILY OWNER", and `limit` the most bytes that a family may take. To make room,
        the values of all other owners are removed first.
        """
        family = kind.partition(" ")[0]
        needed = sum(map(len, values.values()))
        if self.size(family) + needed > limit:
            self.remove_kinds(family, but=kind)
            if self.size(family) + needed > limit:
                return
        self._write([(kind, key, value, zlib.crc32(value)) for key, value in values.items()])

    def size(self, family: str) -> int:
        """Bytes of all values of a family (`put_blobs`)."""
        query = "SELECT total(length(value)) FROM rows WHERE kind >= ? AND kind < ?"
        return int(self._all(query, _family(family))[0][0])

    def remove_kinds(self, family: str, *, but: str) -> None:
        """Remove all values of a family except those of one kind."""

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                query = "DELETE FROM rows WHERE kind >= ? AND kind < ? AND kind != ?"
                connection.execute(query, [*_family(family), but])

        self._run(write)

    def _write(self, rows: Sequence[tuple[str, str, str | bytes, int]]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", rows)

        if rows:
            self._run(write)

    def remove(self, kind: str, key: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("DELETE FROM rows WHERE kind = ? AND key = ?", (kind, key))

        self._run(write)

    def remove_kind(self, kind: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("DELETE FROM rows WHERE kind = ?", (kind,))

        self._run(write)

    def keys(self, kind: str) -> list[str]:
        query = "SELECT key FROM rows WHERE kind = ? ORDER BY rowid"
        return [key for (key,) in self._all(query, [kind])]

    def lock(self, name: str) -> BaseFileLock:
        """A lock between processes. The operating system frees it when its holder dies."""
        from filelock import FileLock

        try:
            self._prepare_folder()
        except OSError as error:
            raise self._unusable(error) from error
        return FileLock(self.folder / f"{name}.lock")

    def file_hash(self, file: Path) -> str:
        """SHA-256 of a file, cached by its path, size, times and inode.

        The times include the change time (ctime): unlike the modification time, no copying tool
        sets it back. Files in the Hugging Face cache are links to blobs that are named by their
        hash, so these need no reading. Set LLMDIFF_FULL_HASH=1 to read every byte in any case.
        """
        target = file.resolve()
        full = os.environ.get("LLMDIFF_FULL_HASH", "0") != "0"
        if not full and _is_named_by_hash(file, target):
            return target.name
        status = target.stat()
        about = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        key = f"{os.fsencode(target)!r}:{about}"  # a path need not be UTF-8
        if not full:
            known = self.get("file-hash", [key])
            if key in known:
                return str(known[key])
        with target.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        # A file changed a moment ago could change again within the clock's resolution, unnoticed.
        if time.time() - status.st_ctime > 1:
            self.put("file-hash", {key: digest})
        return digest

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _all(self, query: str, values: Sequence[str]) -> list[Any]:
        return self._run(lambda connection: list(connection.execute(query, values)))

    def _run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        import sqlite3

        try:
            try:
                return action(self._open())
            except sqlite3.DatabaseError as error:
                # Its subclasses do not mean damage (locked, disk full, a value that is too long, a
                # connection used in another thread), but for a table or column that is missing.
                lost = str(error).startswith(("no such", "table rows has"))
                if type(error) is not sqlite3.DatabaseError and not lost:
                    raise
                self._rebuild(str(error))
                return action(self._open())
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        import sqlite3

        self._prepare_folder()
        # Set before anything can fail: `_rebuild` must know which file failed.
        self._inode = self._inode_now()
        connection = sqlite3.connect(self.file, timeout=120)
        try:
            if self._version(connection) == 0:
                # Switching to WAL does not wait for other processes, so keep them out.
                with self.lock("create"):
                    self._create(connection)
            if (version := self._version(connection)) != SCHEMA:
                raise sqlite3.DatabaseError(f"it has layout {version}, not {SCHEMA}")
            connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        self._connection = connection
        self._inode = self._inode_now()
        return connection

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _create(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                connection.execute(
                    "CREATE TABLE rows (kind TEXT, key TEXT, value TEXT, crc INTEGER, "
                    "PRIMARY KEY (kind, key))"
                )
                connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _inode_now(self) -> int:
        return self.file.stat().st_ino if self.file.exists() else 0

    def _rebuild(self, reason: str) -> None:
        """Move the unusable file aside and keep its readable rows, unless another process has done
        so already."""
        self.close()
        with self.lock("rebuild"):
            if self._inode_now() == self._inode:
                for suffix in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        self._sibling(suffix).replace(self._sibling(".damaged" + suffix))
                kept = self._salvage(self._sibling(".damaged"))
                self._warn(
                    f"the store {self.file} was unusable ({reason}): it was moved aside"
                    + (f", and {kept} of its rows were kept" if kept else "")
                )

    def _salvage(self, damaged: Path) -> int:
        """Copies what can be read of a damaged file. Returns the number of rows.

        A row from a page that was overwritten has a wrong checksum, so `get` does not return it.
        """
        import sqlite3

        old, new, kept = sqlite3.connect(damaged), self._open(), 0
        try:
            with suppress(sqlite3.DatabaseError), new:
                for rows in _readable(old) if self._version(old) == SCHEMA else ():
                    kept += len(rows)
                    new.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?)", rows)
        finally:
            old.close()
        return kept

    def _sibling(self, suffix: str) -> Path:
        return self.file.with_name(self.file.name + suffix)

    def _prepare_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the store {self.folder} cannot be used ({error}); free some space, make it writable, "
            "or choose another folder with --llmdiff-store"
        )

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def files_hash(store: Store, files: Sequence[Path]) -> dict[str, str]:
    """Content hashes of files by position and name, independent of their folder."""
    return {f"{place} {file.name}": store.file_hash(file) for place, file in enumerate(files)}


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


def _readable(connection: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a damaged table, in parts, by halving the ranges of rows that cannot be read."""
    import sqlite3

    query = "SELECT rowid, kind, key, CAST(value AS BLOB), crc FROM rows NOT INDEXED WHERE rowid "
    ranges, failures = [(0, 1 << 40)], 0
    # Where the last page is damaged, all ranges beyond the last row fail, hence the limit.
    while ranges and failures < UNREADABLE:
        first, last = ranges.pop()
        # A range reads one row too many, which may be on a damaged page.
        which = "= :first" if first == last else "BETWEEN :first AND :last ORDER BY rowid"
        try:
            cursor = connection.execute(query + which, {"first": first, "last": last})
            while part := cursor.fetchmany(500):
                yield [row[1:] for row in part]
                first = part[-1][0] + 1
        except sqlite3.DatabaseError:
            failures += 1
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    """Distinct keys, in parts that stay below SQLite's limit of bound variables."""
    distinct = list(dict.fromkeys(keys))
    for start in range(0, len(distinct), 500):
        yield distinct[start : start + 500]


def _family(name: str) -> list[str]:
    """Bounds of the kinds that begin with a name and a space; "!" is the character after it."""
    return [f"{name} ", f"{name}!"]


def _marks(part: Sequence[str]) -> str:
    return ",".join("?" * len(part))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
