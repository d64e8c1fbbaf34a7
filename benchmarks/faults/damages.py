"""A damaged store: the next run gives the same verdicts, and the one after it asks no model."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from benchmarks.faults.project import COMMANDS, Project, Verdicts, new_project
from benchmarks.faults.tally import Tally

PAGE = 4096
SHAPES = ("null", "1", '""', "[]", "{}", '{"reply": 5}', '{"reply": {"text": 1}}', '{"tokens": 3}')
Damage = Callable[[Path, random.Random], None]


def damages(tally: Tally, count: int, chance: random.Random) -> None:
    with new_project() as project, new_project() as other:
        project.warm_up()
        project.run_warm(*COMMANDS["judge"])
        reference = project.verdicts()
        shutil.copytree(project.store.parent, project.file("good"))
        other.run_warm(*COMMANDS["calibrate"])
        shutil.copy(other.store, project.file("other.sqlite3"))
        ways = [*DAMAGES]
        for number in range(count):
            # Each in turn, so that few faults show all kinds.
            _damage(tally, project, ways[number % len(ways)], reference, chance)


def _damage(
    tally: Tally, project: Project, way: str, reference: Verdicts, chance: random.Random
) -> None:
    shutil.rmtree(project.store.parent)
    shutil.copytree(project.file("good"), project.store.parent)
    DAMAGES[way](project.store, chance)
    tally.tried += 1
    for which in ("next run", "run after it"):
        project.file("run.json").unlink(missing_ok=True)
        project.file("generating").unlink(missing_ok=True)
        ended = project.run_warm(*COMMANDS["judge"])
        if ended.code is None:
            tally.add("hung", f"{way}, the {which}")
            return
        if not project.file("run.json").exists():
            tally.add("lost", f"{way}, the {which} has no report: {ended.said[-800:]}")
        elif project.verdicts() != reference:
            tally.add("wrong_verdicts", f"{way}, the {which}: {ended.said[-800:]}")
        elif which != "next run" and project.file("generating").exists():
            tally.add("lost", f"{way}: the {which} asks the models again")


# Damages


def _bytes(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 10, 100))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    file.write_bytes(data)


def _page(file: Path, chance: random.Random) -> None:
    _overwrite(file, chance, chance.choice((b"\0", b"\xff")) * PAGE)


def _page_of_another(file: Path, chance: random.Random) -> None:
    other = (file.parent.parent / "other.sqlite3").read_bytes()
    at = chance.randrange(len(other) // PAGE) * PAGE
    _overwrite(file, chance, other[at : at + PAGE])


def _overwrite(file: Path, chance: random.Random, page: bytes) -> None:
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data) // PAGE) * PAGE
    data[at : at + PAGE] = page
    file.write_bytes(data)


def _cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _emptied(file: Path, chance: random.Random) -> None:  # noqa: ARG001
    os.truncate(file, 0)


def _zeros(file: Path, chance: random.Random) -> None:  # noqa: ARG001
    file.write_bytes(bytes(file.stat().st_size))


def _another_file(file: Path, chance: random.Random) -> None:  # noqa: ARG001
    shutil.copy(file.parent.parent / "probes.jsonl", file)


def _log(file: Path, chance: random.Random) -> None:
    file.with_name(f"{file.name}-wal").write_bytes(chance.randbytes(3 * PAGE))


def _table(file: Path, chance: random.Random) -> None:  # noqa: ARG001
    _execute(file, 'DROP TABLE "{table}"')


def _column(file: Path, chance: random.Random) -> None:
    column = chance.choice(_columns(file))
    _execute(file, f'ALTER TABLE "{{table}}" RENAME COLUMN "{column}" TO other')


def _no_column(file: Path, chance: random.Random) -> None:  # noqa: ARG001
    _execute(file, 'CREATE TABLE other AS SELECT kind, key FROM "{table}"',
             'DROP TABLE "{table}"', 'ALTER TABLE other RENAME TO "{table}"')  # fmt: skip


def _values_by_hand(file: Path, chance: random.Random) -> None:
    """Other values, without what vouches for them."""
    _execute(file, f"UPDATE \"{{table}}\" SET value = '{chance.choice(SHAPES)}'")


def _shapes(file: Path, chance: random.Random) -> None:
    """Values of a wrong shape that the store itself has written."""
    from pytest_llmdiff.store import Store

    with closing(sqlite3.connect(file)) as connection:
        keys = connection.execute("SELECT kind, key FROM rows").fetchall()
    store = Store(file.parent)
    for kind, key in chance.sample(keys, max(1, len(keys) // 3)):
        store.put(kind, {key: json.loads(chance.choice(SHAPES))})
    store.close()


def _execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ((table,),) = connection.execute(query).fetchall()
        with connection:
            for statement in statements:
                connection.execute(statement.replace("{table}", table))


def _columns(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(rows)")]


DAMAGES: Mapping[str, Damage] = {
    "random bytes": _bytes,
    "a page overwritten": _page,
    "a page of another store": _page_of_another,
    "cut short": _cut,
    "emptied": _emptied,
    "all zeros": _zeros,
    "another file": _another_file,
    "a log of random bytes": _log,
    "no table": _table,
    "a column renamed": _column,
    "columns missing": _no_column,
    "values by hand": _values_by_hand,
    "values of a wrong shape": _shapes,
}
