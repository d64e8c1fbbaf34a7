"""The store: what was put is there, whatever is killed, damaged or done at the same time."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_llmdiff.engines.rows import divergences_from_json, generated_from_json
from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.generation.rows import RowCache
from pytest_llmdiff.generation.scoring import score_from_json
from pytest_llmdiff.store import Store
from pytest_llmdiff.store.database import SCHEMA

PROLOGUE = """
import sys
from pathlib import Path
from pytest_llmdiff.store import Store
store = Store(Path(sys.argv[1]))
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def start(code: str, *args: object) -> subprocess.Popen[str]:
    """Another process with a store in the folder that is its first argument."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_at_once(code: str, *args: tuple[object, ...]) -> list[str]:
    """What processes print that begin together, one for each tuple of arguments."""
    processes = [start("print(flush=True); sys.stdin.readline()" + code, *a) for a in args]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


# What was put is there

plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.dictionaries(st.text("0123456789abcdef", min_size=1), plain_json, max_size=4))
@example(values={"a": "退款在三十天内。", "b": "half a pair \ud83d", "c": 0.1 + 0.2, "d": -0.0})
def test_values_come_back_the_same(store: Store, values: dict[str, Any]) -> None:
    store.put("reply", values)
    other = Store(store.folder)
    for reader in (store, other):
        found = reader.get("reply", values)
        assert json.dumps(found, sort_keys=True) == json.dumps(values, sort_keys=True)
    other.close()
    assert store.warnings == []


def test_a_missing_value_is_computed_and_stored(store: Store) -> None:
    assert store.get_or_put("fact", "a", lambda: [1]) == [1]
    assert store.get_or_put("fact", "a", lambda: [2]) == [1]
    assert store.get_or_put("fact", "nothing", lambda: None) is None
    assert store.get("fact", ["a", "nothing"]) == {"a": [1], "nothing": None}


def test_blobs_of_other_owners_make_room(store: Store) -> None:
    store.put_blobs("states a", {"1": b"four"}, limit=10)
    store.put_blobs("states b", {"1": b"four"}, limit=10)
    assert store.size("states") == 8
    store.put_blobs("states b", {"2": b"four"}, limit=10)
    assert not store.keys("states a")
    store.put_blobs("states b", {"3": b"four"}, limit=10)
    assert store.blobs("states b", "123") == {"1": b"four", "2": b"four"}, "no room for a third"
    store.put_blobs("statesmen c", {"1": b"four"}, limit=10)
    assert store.size("states") == 8


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e-320, 2**70])
def test_numbers_that_strict_json_has_not(store: Store, value: float) -> None:
    store.put("score", {"a": value})
    assert repr(store.get("score", ["a"])["a"]) == repr(value)


def test_kinds_are_apart(store: Store) -> None:
    store.put("reply", {"a": 1, "b": 2})
    store.put("score", {"a": 3})
    assert store.get("reply", ["a", "b"]) == {"a": 1, "b": 2}
    assert store.get("score", ["a", "b"]) == {"a": 3}
    assert store.get("fact", ["a"]) == {}
    store.remove("reply", "a")
    assert (store.keys("reply"), store.keys("score")) == (["b"], ["a"])


def test_a_value_is_replaced(store: Store) -> None:
    store.put("fact", {"a": 1})
    store.put("fact", {"a": 2})
    assert store.get("fact", ["a"]) == {"a": 2}


def test_more_keys_than_a_statement_takes(store: Store) -> None:
    values = {f"key-{number}": number for number in range(2000)}
    store.put("fact", values)
    assert store.get("fact", [*values, *values, "missing"]) == values
    assert store.keys("fact") == list(values)


def test_nothing_is_asked_of_an_empty_store(store: Store) -> None:
    store.put("fact", {})
    assert store.get("fact", []) == {}
    assert store.keys("fact") == []


def test_the_folder_is_kept_out_of_git(store: Store) -> None:
    store.put("fact", {"a": 1})
    assert (store.folder / ".gitignore").read_text(encoding="utf-8") == "*\n"


# Several processes


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_create_and_write_at_once(store: Store, processes: int) -> None:
    code = """
for number in range(50):
    store.put("fact", {f"{sys.argv[2]}-{number}": number, "shared": number})
assert store.warnings == []
"""
    run_at_once(code, *((store.folder, name) for name in range(processes)))
    wanted = {f"{name}-{number}": number for name in range(processes) for number in range(50)}
    assert store.get("fact", wanted) == wanted
    assert store.get("fact", ["shared"]) == {"shared": 49}
    assert store.warnings == []


def test_a_killed_process_loses_nothing_that_it_had_put(store: Store) -> None:
    code = """
for number in range(1_000_000):
    store.put("fact", {f"{number}-{part}": "款" * 500 for part in range(3)})
    print(number, flush=True)
"""
    writer = start(code, store.folder)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(20)]
    writer.kill()
    acknowledged += writer.communicate(timeout=60)[0].splitlines(keepends=True)
    numbers = [int(line) for line in acknowledged if line.endswith("\n")]
    keys = [f"{number}-{part}" for number in numbers for part in range(3)]
    assert len(numbers) >= 20
    assert store.get("fact", keys) == dict.fromkeys(keys, "款" * 500)
    assert len(store.keys("fact")) % 3 == 0
    assert store.warnings == []


# Damage


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage " * 1000)


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def cut_in_the_header(file: Path) -> None:
    os.truncate(file, 50)


def other_layout(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()


@pytest.mark.parametrize("damage", [garbage, cut_short, cut_in_the_header, other_layout])
def test_a_damaged_file_is_moved_aside(store: Store, damage: Callable[[Path], None]) -> None:
    values = {f"{number:04}": "x" * 100 for number in range(500)}
    store.put("fact", values)
    store.close()
    damage(store.file)
    damaged = store.file.read_bytes()

    reopened = Store(store.folder)
    assert reopened.get("fact", values) == {}
    reopened.put("fact", {"new": "新"})
    assert reopened.get("fact", ["new"]) == {"new": "新"}
    assert len(reopened.warnings) == 1
    assert reopened.warnings[0].startswith(f"the store {store.file} was unusable (")
    reopened.close()
    assert store.file.with_name("store.sqlite3.damaged").read_bytes() == damaged

    again = Store(store.folder)
    assert again.get("fact", ["new"]) == {"new": "新"}
    assert again.warnings == []
    again.close()


@pytest.mark.parametrize("place", [0.3, 0.9, 1.0])
def test_what_can_be_read_of_a_damaged_file_is_kept(store: Store, place: float) -> None:
    values = {f"{number:04}": f"{number}" * 40 for number in range(2000)}
    store.put("fact", values)
    store.close()
    data = bytearray(store.file.read_bytes())
    begin = min(int(len(data) * place) // 4096 * 4096, len(data) - 4096)
    data[begin : begin + 4096] = b"\xff" * 4096
    store.file.write_bytes(data)

    reopened = Store(store.folder)
    for key, value in values.items():  # as a run: one after another, missing ones made again
        if reopened.get("fact", [key]) != {key: value}:
            reopened.put("fact", {key: value})
    assert reopened.get("fact", values) == values
    (warning,) = reopened.warnings
    kept = re.search(r"(\d+) of its rows were kept", warning)
    assert kept is not None
    assert int(kept[1]) > 1900
    reopened.close()


@pytest.mark.parametrize(
    "statement", ["DROP TABLE rows", "ALTER TABLE rows RENAME COLUMN signature TO sum"]
)
def test_a_table_that_somebody_changed_is_moved_aside(store: Store, statement: str) -> None:
    store.put("fact", {"a": 1})
    store.close()
    connection = sqlite3.connect(store.file)
    connection.execute(statement)
    connection.close()
    reopened = Store(store.folder)
    assert reopened.get("fact", ["a"]) == {}
    reopened.put("fact", {"a": 2})
    assert reopened.get("fact", ["a"]) == {"a": 2}
    assert len(reopened.warnings) == 1
    reopened.close()


def test_a_file_is_moved_aside_once(store: Store) -> None:
    store.put("fact", {"a": 1})
    store.close()
    garbage(store.file)
    code = """
store.put("fact", {sys.argv[2]: 1})
print(len(store.warnings))
"""
    warnings = run_at_once(code, *((store.folder, name) for name in range(4)))
    assert sum(map(int, warnings)) == 1
    assert store.get("fact", map(str, range(4))) == dict.fromkeys("0123", 1)


def test_what_cannot_be_written_is_no_damage(store: Store) -> None:
    """A value that is too long, or a thread that is another one, does not cost the whole store."""
    store.put("fact", {"old": 1})
    store._database.run(lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000))
    with pytest.raises(StoreError, match="too big"):
        store.put("fact", {"long": "x" * 5000})
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            store.get("fact", ["old"])
        except StoreError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert store.get("fact", ["old"]) == {"old": 1}
    assert store.warnings == []


def damage_row(store: Store, change: str) -> None:
    store.close()
    connection = sqlite3.connect(store.file)
    with connection:
        connection.execute(f"UPDATE rows SET {change} WHERE key = 'bad'")
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "value = '[1, 9]'",
        "value = ''",
        "signature = substr(signature, 1, 10)",
        "value = CAST(x'5bff5d' AS TEXT)",
        "value = x'00'",
        "value = NULL",
    ],
)
def test_a_damaged_row_is_not_there(store: Store, change: str) -> None:
    store.put("fact", {"good": [0], "bad": [1, 2], "worse": [3]})
    damage_row(store, change)
    assert store.get("fact", ["good", "bad", "worse"]) == {"good": [0], "worse": [3]}
    assert store.get("fact", ["bad"]) == {}
    assert store.warnings == ["a damaged row is computed again"]
    store.put("fact", {"bad": [4]})
    assert store.get("fact", ["bad"]) == {"bad": [4]}


@pytest.mark.parametrize(
    ("decode", "row"),
    [
        (generated_from_json, None),
        (generated_from_json, []),
        (generated_from_json, {}),
        (generated_from_json, "text"),
        (generated_from_json, {"error": 5}),
        (generated_from_json, {"reply": None, "prompt_ids": ""}),
        (generated_from_json, {"reply": {"text": "x"}, "prompt_ids": ""}),
        (generated_from_json, {"reply": {"text": 5, "token_ids": ""}, "prompt_ids": ""}),
        (generated_from_json, {"reply": {"text": "x", "token_ids": "?"}, "prompt_ids": ""}),
        (generated_from_json, {"reply": {"text": "x", "token_ids": "QQ=="}, "prompt_ids": "x"}),
        (divergences_from_json, {"tokens": [[1]], "unsupported": None}),
        (score_from_json, {"value": "0.1", "unsupported": None, "details": {}}),
        (score_from_json, {"value": 0.1}),
    ],
)
def test_a_signed_row_of_another_shape_is_computed_again(
    store: Store, decode: Callable[[Any], Any], row: Any
) -> None:
    store.put("reply", {"a": row})
    cache = RowCache(store, "reply", decode)
    assert cache.get(["a"]) == {}
    assert store.warnings == ["a damaged row is computed again"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON rows BEGIN DELETE FROM rows; END",
        "CREATE TABLE more (a)",
        "CREATE VIEW evil AS SELECT * FROM rows",
    ],
)
def test_a_file_with_more_in_it_is_moved_aside(store: Store, statement: str) -> None:
    store.put("fact", {"a": 1})
    store.close()
    connection = sqlite3.connect(store.file)
    connection.execute(statement)
    connection.close()
    assert store.get("fact", ["a"]) == {"a": 1}, "its rows are kept: they are signed"
    (warning,) = store.warnings
    assert "it has other tables than a store" in warning


@pytest.mark.parametrize("rest", [b"", None])
def test_a_kill_at_its_birth(store: Store, rest: bytes | None) -> None:
    """An empty file, or one that was switched to a log and has no table yet."""
    store.folder.mkdir()
    if rest is None:
        connection = sqlite3.connect(store.file)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    else:
        store.file.write_bytes(rest)
    store.put("fact", {"a": 1})
    assert store.get("fact", ["a"]) == {"a": 1}
    assert store.warnings == []


def test_another_programs_database_is_moved_aside(store: Store) -> None:
    store.folder.mkdir()
    connection = sqlite3.connect(store.file)
    connection.execute("CREATE TABLE rows (a)")
    connection.close()
    store.put("fact", {"a": 1})
    assert store.get("fact", ["a"]) == {"a": 1}
    assert len(store.warnings) == 1
    assert "another program's database" in store.warnings[0]


def test_the_layout_before_is_moved_aside_with_one_line(store: Store) -> None:
    store.folder.mkdir()
    connection = sqlite3.connect(store.file)
    with connection:
        connection.execute("CREATE TABLE rows (kind TEXT, key TEXT, value TEXT, crc INTEGER)")
        connection.execute("INSERT INTO rows VALUES ('fact', 'a', '1', 0)")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert store.get("fact", ["a"]) == {}
    (warning,) = store.warnings
    assert "it has layout 2, not 3" in warning
