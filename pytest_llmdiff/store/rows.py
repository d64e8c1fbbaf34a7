"""Rows by kind and key. Callers make the keys, which are content hashes.

Each batch of rows is a transaction, so a killed run loses only what was in flight.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.store.database import FILE, Database, ReadOnly
from pytest_llmdiff.store.folders import is_read_only, temporary_folder, tracked_by_git
from pytest_llmdiff.store.keys import content_key
from pytest_llmdiff.store.signing import NAME, VARIABLE, Signer, signer_of_user

if TYPE_CHECKING:
    import sqlite3

    from filelock import BaseFileLock

# What decoding a value of another shape raises.
MISSHAPEN = (ValueError, TypeError, LookupError, AttributeError, struct.error)
DAMAGED = "a damaged row is computed again"
SIGNED = f"substr(signature, 1, {NAME}) = ?"  # with the run's own key
Row = tuple[str, str, bytes, str | bytes]
DECODER = json.JSONDecoder()  # `json.loads` looks at its arguments first, which counts here


class Store:
    """A folder with the database and the locks. Opened on first use; safe across processes.

    Rows are signed with the user's key (`signing.py`), and those with a wrong signature are as good
    as missing. Where the folder is read-only, its rows are read, and new ones are written to a
    folder of the user's own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._given = folder / FILE
        self._below: ReadOnly | None = None
        if is_read_only(self._given):
            with suppress(OSError):  # the first row that is written says what is wrong
                self.folder = temporary_folder() / content_key(str(folder.resolve()))[:16]
                self._below = ReadOnly(self._given, self._warn)
        self._database = Database(self.folder, self._warn)
        self.file = self._database.file

    def get(
        self, kind: str, keys: Iterable[str], decode: Callable[[Any], Any] | None = None
    ) -> dict[str, Any]:
        """The stored values by key, decoded, without those that are damaged or have a shape that
        cannot be decoded."""
        found = dict[str, Any]()
        for key, value in self.blobs(kind, keys).items():
            try:
                row = DECODER.decode(value.decode())
                found[key] = row if decode is None else decode(row)
            except MISSHAPEN:
                self._warn(DAMAGED)
        return found

    def blobs(self, kind: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Like `get`, for values that are bytes."""
        found: dict[str, bytes] = {}
        for part in _parts(keys):
            # Cast to bytes: a damaged value may not be text.
            columns = "key, CAST(signature AS BLOB), CAST(value AS BLOB)"
            query = f"SELECT {columns} FROM rows WHERE kind = ? AND key IN ({_marks(part)})"
            for key, signature, value in self._all(query, [kind, *part]):
                if value is None or signature is None:
                    self._warn(DAMAGED)
                elif self._signer.is_signed(kind, key, value, signature):
                    found[key] = value
                elif signature.startswith(self._signer.name):
                    self._warn(DAMAGED)
        return found

    def stored_keys(self, kind: str, keys: Iterable[str]) -> set[str]:
        """The keys that have a row. Values are not read, so a row may be damaged."""
        found: set[str] = set()
        for part in _parts(keys):
            query = f"SELECT key FROM rows WHERE kind = ? AND key IN ({_marks(part)}) AND {SIGNED}"
            found.update(key for (key,) in self._all(query, [kind, *part, self._signer.name]))
        return found

    def put(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write plain JSON values in one transaction."""
        rows = list[Row]()
        for key, value in values.items():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            # A lone surrogate cannot be stored as UTF-8; its escaped form can.
            with_escapes = text if _encodable(text) else json.dumps(value)
            signature = self._signer.sign(kind, key, with_escapes.encode())
            rows.append((kind, key, signature, with_escapes))
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
        sign = self._signer.sign
        self._write([(kind, key, sign(kind, key, value), value) for key, value in values.items()])

    def size(self, family: str) -> int:
        """Bytes of all values of a family (`put_blobs`)."""
        query = "SELECT total(length(value)) FROM rows WHERE kind >= ? AND kind < ?"
        return int(self._here(query, _family(family))[0][0])

    def remove_kinds(self, family: str, *, but: str) -> None:
        """Remove all values of a family except those of one kind."""
        self._change(
            "DELETE FROM rows WHERE kind >= ? AND kind < ? AND kind != ?", *_family(family), but
        )

    def remove(self, kind: str, key: str) -> None:
        self._change("DELETE FROM rows WHERE kind = ? AND key = ?", kind, key)

    def remove_kind(self, kind: str) -> None:
        self._change("DELETE FROM rows WHERE kind = ?", kind)

    def keys(self, kind: str) -> list[str]:
        """Those that processes wrote which could write the folder."""
        query = f"SELECT key FROM rows WHERE kind = ? AND {SIGNED} ORDER BY rowid"
        return [key for (key,) in self._here(query, [kind, self._signer.name])]

    def lock(self, name: str) -> BaseFileLock:
        """A lock between processes. The operating system frees it when its holder dies."""
        return self._database.lock(name)

    def look_over(self) -> None:
        """Warn of what the user should know about a store that was there before: rows of another
        key, and a file that git tracks.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._given.exists():
            return
        look = self._here if self._below is None else self._below.all
        query = f"SELECT count(*), total({SIGNED}) FROM rows"
        for count, signed in look(query, [self._signer.name]):
            if count > signed:
                self._warn(
                    f"{count - int(signed)} of {count} rows in the store {self._given} are signed "
                    "with another key, on another machine or by somebody else: what a test needs "
                    "of them is computed again. If you trust the store, set the environment "
                    f"variable {VARIABLE} to its key; else delete it"
                )
        if tracked_by_git(self._given):
            self._warn(
                f"git tracks the store {self._given}, and with it all prompts and replies: "
                f"git rm --cached --force {self._given}*"
            )

    def close(self) -> None:
        self._database.close()
        if self._below is not None:
            self._below.close()

    @cached_property
    def _signer(self) -> Signer:
        return signer_of_user()

    def _all(self, query: str, values: Sequence[str | bytes]) -> list[Any]:
        """Rows of a query, here and in a read-only store below; those written here come last."""
        below = [] if self._below is None else self._below.all(query, values)
        return [*below, *self._here(query, values)]

    def _here(self, query: str, values: Sequence[str | bytes]) -> list[Any]:
        return self._database.run(lambda connection: list(connection.execute(query, values)))

    def _write(self, rows: Sequence[Row]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", rows)

        if rows:
            self._database.run(write)

    def _change(self, statement: str, *values: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute(statement, values)

        self._database.run(change)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


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
