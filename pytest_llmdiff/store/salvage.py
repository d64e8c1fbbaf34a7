"""Reads what can be read of a damaged file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

UNREADABLE = 2000  # ranges of rows that may fail while a damaged file is read


def readable_rows(connection: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a damaged table, in parts, by halving the ranges of rows that cannot be read.

    A row from a page that was overwritten has a wrong signature, so the store does not return it.
    """
    import sqlite3

    query = (
        "SELECT rowid, kind, key, signature, CAST(value AS BLOB) FROM rows NOT INDEXED WHERE rowid "
    )
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
