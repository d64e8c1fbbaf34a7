"""The SQLite file of the store: opened on first use, and rebuilt where it is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.store.folders import make_store_folder
from pytest_llmdiff.store.salvage import readable_rows

if TYPE_CHECKING:
    import sqlite3

    from filelock import BaseFileLock

FILE = "store.sqlite3"
SCHEMA = 3
# The signature comes before the value, which may fill many pages: a scan of signatures skips these.
TABLE = (
    "CREATE TABLE rows (kind TEXT, key TEXT, signature BLOB, value TEXT, PRIMARY KEY (kind, key))"
)
T = TypeVar("T")


class Database:
    """One table, and locks beside it. Safe across processes."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.file = folder / FILE
        self._warn = warn
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """The outcome of an action; a damaged file is rebuilt first.

        Raises:
            StoreError: the file can be neither used nor rebuilt.
        """
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

    def lock(self, name: str) -> BaseFileLock:
        """A lock between processes. The operating system frees it when its holder dies."""
        from filelock import FileLock

        try:
            make_store_folder(self.folder)
        except OSError as error:
            raise self._unusable(error) from error
        return FileLock(self.folder / f"{name}.lock", mode=0o600)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        import sqlite3

        make_store_folder(self.folder)
        # SQLite's own files beside it get the same mode.
        os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
        # Set before anything can fail: `_rebuild` must know which file failed.
        self._inode = self._inode_now()
        connection = sqlite3.connect(self.file, timeout=120)
        try:
            if _version(connection) == 0:
                # Switching to WAL does not wait for other processes, so keep them out.
                with self.lock("create"):
                    _create(connection)
            _check_layout(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        self._connection = connection
        self._inode = self._inode_now()
        return connection

    def _inode_now(self) -> int:
        return self.file.stat().st_ino if self.file.exists() else 0

    def _rebuild(self, reason: str) -> None:
        """Move the unusable file aside and keep its readable rows, unless another process has done
        so already."""
        self.close()
        with self.lock("rebuild"):
            if self._inode_now() == self._inode:
                # The log first: a new file would take it for its own.
                for suffix in ("-wal", "-shm", ""):
                    with suppress(FileNotFoundError):
                        self._sibling(suffix).replace(self._sibling(".damaged" + suffix))
                kept = self._salvage(self._sibling(".damaged"))
                self._warn(
                    f"the store {self.file} was unusable ({reason}): it was moved aside"
                    + (f", and {kept} of its rows were kept" if kept else "")
                )

    def _salvage(self, damaged: Path) -> int:
        """Copies what can be read of a damaged file. Returns the number of rows."""
        import sqlite3

        old, new, kept = sqlite3.connect(damaged), self._open(), 0
        try:
            with suppress(sqlite3.DatabaseError), new:
                # A view of that name might never end.
                own = _version(old) == SCHEMA and TABLE in _tables(old)
                for rows in readable_rows(old) if own else ():
                    kept += len(rows)
                    new.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?)", rows)
        finally:
            old.close()
        return kept

    def _sibling(self, suffix: str) -> Path:
        return self.file.with_name(self.file.name + suffix)

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"the store {self.folder} cannot be used ({error}); free some space, make it writable, "
            "or choose another folder with --llmdiff-store"
        )


class ReadOnly:
    """The table in a file that cannot be written, nor anything beside it. An unusable one is as
    good as empty.

    Rows that a killed process left in SQLite's log are not seen.
    """

    def __init__(self, file: Path, warn: Callable[[str], None]) -> None:
        self._file = file
        self._warn = warn
        self._connection: sqlite3.Connection | None = None
        self._unusable = False

    def all(self, query: str, values: Sequence[str | bytes]) -> list[Any]:
        import sqlite3

        if self._unusable:
            return []
        try:
            return list(self._open().execute(query, values))
        except sqlite3.Error as error:
            self._unusable = True
            self._warn(f"the store {self._file} is read-only, and it is unusable ({error})")
            return []

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        if self._connection is None:
            # Otherwise SQLite would want to write beside it.
            address = f"{self._file.resolve().as_uri()}?immutable=1"
            self._connection = sqlite3.connect(address, uri=True)
            _check_layout(self._connection)
        return self._connection


def _check_layout(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError unless the file has this layout and nothing else, such as a
    trigger that somebody added."""
    import sqlite3

    if (version := _version(connection)) != SCHEMA:
        raise sqlite3.DatabaseError(f"it has layout {version}, not {SCHEMA}")
    if _tables(connection) != [TABLE]:
        raise sqlite3.DatabaseError("it has other tables than a store")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> list[str]:
    """The statements that made tables and the like, without those of SQLite's own."""
    query = "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return [sql for (sql,) in connection.execute(query)]


def _create(connection: sqlite3.Connection) -> None:
    if _version(connection) != 0:
        return
    if _tables(connection):
        import sqlite3

        raise sqlite3.DatabaseError("it is another program's database")
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TABLE)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
