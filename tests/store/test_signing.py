"""Only what this user's runs wrote is believed."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.store import Store
from pytest_llmdiff.store.signing import VARIABLE, Signer, signer_of_user
from tests.support.projects import Launch, Run

OTHERS = "in the store {} are signed with another key"


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's caches: an empty folder."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


@pytest.fixture
def store(tmp_path: Path, caches: Path) -> Iterator[Store]:  # noqa: ARG001
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_key_is_made_once_for_its_user_alone(caches: Path) -> None:
    name = signer_of_user().name
    key = caches / "pytest-llmdiff" / "store.key"
    assert len(key.read_bytes()) == 32
    assert (mode_of(key), mode_of(key.parent)) == (0o600, 0o700)
    key.chmod(0o644)  # as a copy of a home may leave it
    assert signer_of_user().name == name
    assert mode_of(key) == 0o600
    assert {file.name for file in key.parent.iterdir()} <= {"store.key", "store.key.lock"}


def test_processes_that_begin_together_have_one_key(caches: Path, launch: Launch) -> None:
    code = """
from pytest_llmdiff.store.signing import signer_of_user
print(signer_of_user().name.hex())
"""
    processes = [launch(code) for _ in range(3)]
    names = {process.communicate(timeout=60)[0] for process in processes}
    assert names == {signer_of_user().name.hex() + "\n"}
    assert caches.exists()


@pytest.mark.parametrize("rest", [b"", b"half a key"])
def test_a_key_of_which_a_kill_left_a_part_is_replaced(caches: Path, rest: bytes) -> None:
    folder = caches / "pytest-llmdiff"
    folder.mkdir(parents=True)
    (folder / "store.key").write_bytes(rest)
    assert signer_of_user().name == signer_of_user().name
    assert len((folder / "store.key").read_bytes()) == 32


def test_without_a_home_the_key_is_among_the_temporary_files(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches.write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = signer_of_user().name
    assert signer_of_user().name == name
    (key,) = tmp_path.glob("pytest-llmdiff-*/store.key")
    key.parent.chmod(0o777)  # where somebody else can put a key
    with pytest.raises(StoreError, match=r"XDG_CACHE_HOME.*LLMDIFF_STORE_KEY"):
        signer_of_user()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
def test_a_key_of_another_user_is_refused(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = signer_of_user().name
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr("tempfile.tempdir", str(caches))
    with pytest.raises(StoreError, match=r"store\.key belongs to another user"):
        signer_of_user()
    monkeypatch.undo()
    assert signer_of_user().name != name


def test_a_given_key(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "correct horse battery staple\n")  # as from a file
    name = signer_of_user().name
    monkeypatch.setenv(VARIABLE, "correct horse battery staple")
    assert signer_of_user().name == name
    assert not caches.exists()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(StoreError, match=r"has 5 characters; a key has at least 16") as raised:
        signer_of_user()
    assert "short" not in str(raised.value)
    monkeypatch.setenv(VARIABLE, "")  # a secret that a fork does not get
    assert signer_of_user().name != name


text = st.text(st.characters(exclude_categories=()), max_size=5)
row = st.tuples(text, text, st.binary(max_size=5))


@given(one=row, other=row)
def test_a_signature_is_of_kind_key_and_value(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    signer = Signer(b"k" * 32)
    signature = signer.sign(*one)
    assert signer.is_signed(*one, signature)
    assert signer.is_signed(*other, signature) == (one == other)
    assert not Signer(b"j" * 32).is_signed(*one, signature)
    assert not signer.is_signed(*one, signature[:-1])


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE rows SET value = (SELECT value FROM rows WHERE key = 'good') WHERE key = 'evil'",
        # With its own signature.
        "UPDATE rows SET (value, signature) = (SELECT value, signature FROM rows "
        "WHERE key = 'good') WHERE key = 'evil'",
        "UPDATE rows SET key = 'evil' WHERE key = 'good'",
        "UPDATE rows SET kind = 'reply', key = 'evil' WHERE kind = 'other'",
    ],
)
def test_a_row_in_the_place_of_another_is_not_there(store: Store, swap: str) -> None:
    store.put("other", {"evil": 1})
    store.put("reply", {"good": 1, "evil": 2})
    store.close()
    connection = sqlite3.connect(store.file)
    with connection:
        if "SET k" in swap:
            connection.execute("DELETE FROM rows WHERE key = 'evil' AND kind = 'reply'")
        connection.execute(swap)
    connection.close()
    assert store.get("reply", ["evil"]) == {}
    assert store.warnings == ["a damaged row is computed again"]


def test_rows_of_another_key_are_kept_and_not_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "the key of another machine")
    other = Store(store.folder)
    other.put("reply", {"a": 1, "b": 2})
    other.put("stopped", {"run": True})
    other.close()
    monkeypatch.delenv(VARIABLE)

    store.look_over()
    assert store.get("reply", "ab") == {}
    assert store.stored_keys("reply", "ab") == set()
    assert store.keys("stopped") == []
    store.put("reply", {"a": 3})
    assert store.get("reply", "ab") == {"a": 3}
    (warning,) = store.warnings
    assert warning.startswith("3 of 3 rows " + OTHERS.format(store.file))
    assert VARIABLE in warning

    monkeypatch.setenv(VARIABLE, "the key of another machine")
    other = Store(store.folder)
    other.look_over()
    assert other.get("reply", "ab") == {"b": 2}
    assert other.warnings[0].startswith("1 of 3 rows")
    other.close()


def test_files_are_for_their_user_alone(store: Store) -> None:
    store.put("fact", {"a": 1})
    with store.lock("models"):
        modes = {file.name: mode_of(file) for file in store.folder.iterdir()}
    modes.pop(".gitignore")
    assert {"store.sqlite3", "store.sqlite3-wal", "models.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert mode_of(store.folder) == 0o700


def test_a_run_with_a_store_from_elsewhere(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It computes what it needs again, says so in one line, and then believes its own rows."""
    project.makepyfile(
        """
        import pytest

        @pytest.mark.llmdiff("How do I get a refund?", "Hi")
        def test_it(comparison):
            assert "idiot" not in comparison.tuned.text
        """
    )
    monkeypatch.setenv(VARIABLE, "the key of another machine")
    run().assert_outcomes(passed=1, failed=1)
    file = project.path / ".llmdiff" / "store.sqlite3"
    with sqlite3.connect(file) as connection:
        forged = "UPDATE rows SET value = replace(value, 'you idiot', 'dear') WHERE kind = 'reply'"
        assert connection.execute(forged).rowcount
    connection.close()
    monkeypatch.delenv(VARIABLE)

    result = run()
    result.assert_outcomes(passed=1, failed=1)
    warnings = [line for line in result.outlines if line.startswith("llmdiff: warning:")]
    assert len(warnings) == 1
    assert "are signed with another key, on another machine or by somebody else" in warnings[0]
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    assert not any(line.startswith("llmdiff: warning:") for line in result.outlines)
