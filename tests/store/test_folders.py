"""Where the store is, and what it does in a place that is not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_llmdiff.errors import StoreError
from pytest_llmdiff.store import Store
from pytest_llmdiff.store.folders import tracked_by_git
from tests.support.projects import Run

SUITE = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff("Hi", "Hello")
def test_it(comparison):
    assert_semantic_drift(comparison, at_most=0.5)
"""

# What the fixture `read_only` does to this process.
READ_ONLY_FOR_WORKERS = """
import os
from pathlib import Path

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        given = os.access
        os.access = lambda path, mode: given(path, mode) and not (
            mode == os.W_OK and ".llmdiff" in Path(path).parts
        )
"""


@pytest.fixture
def read_only(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders named `.llmdiff` cannot be written; nor can root, whom no mode keeps from it."""
    given = os.access

    def access(path: Path, mode: int) -> bool:
        return given(path, mode) and not (mode == os.W_OK and ".llmdiff" in Path(path).parts)

    monkeypatch.setattr("os.access", access)
    temporary = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setattr("tempfile.tempdir", temporary)
    monkeypatch.setenv("TMPDIR", temporary)  # for the workers of a run


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_folder_appears_with_its_gitignore_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path / "deep" / "store").put("fact", {"a": 1})
    assert not (tmp_path / "deep" / "store").exists()
    store = Store(tmp_path / "deep" / "store")
    store.put("fact", {"a": 1})
    assert (store.folder / ".gitignore").read_text(encoding="utf-8") == "*\n"
    store.close()


@pytest.mark.usefixtures("read_only")
def test_a_read_only_store_is_read(tmp_path: Path) -> None:
    first = Store(tmp_path / "there")
    first.put("fact", {"a": 1, "b": 2})
    first.close()
    first.folder.rename(tmp_path / ".llmdiff")
    before = contents(tmp_path / ".llmdiff")

    for expected in ({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}):
        store = Store(tmp_path / ".llmdiff")
        store.look_over()
        assert store.get("fact", "abc") == expected
        assert store.stored_keys("fact", "abc") == set(expected)
        store.put("fact", {"b": 3, "c": 4})
        assert store.get("fact", "abc") == {"a": 1, "b": 3, "c": 4}
        with store.lock("models"):
            pass
        assert store.warnings == []
        store.close()
    assert contents(tmp_path / ".llmdiff") == before


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("damage", [b"", b"garbage " * 1000])
def test_a_read_only_file_that_is_no_store(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / ".llmdiff" / "store.sqlite3"
    file.parent.mkdir()
    file.write_bytes(damage)
    store = Store(file.parent)
    store.look_over()
    store.put("fact", {"a": 1})
    assert store.get("fact", ["a"]) == {"a": 1}
    (warning,) = store.warnings
    assert warning.startswith(f"the store {file} is read-only, and it is unusable (")
    assert contents(file.parent) == {"store.sqlite3": damage}
    store.close()


def test_a_run_on_a_read_only_store(
    project: pytest.Pytester, run: Run, request: pytest.FixtureRequest
) -> None:
    project.makepyfile(SUITE)
    run().assert_outcomes(passed=2)
    before = contents(project.path / ".llmdiff")
    request.getfixturevalue("read_only")
    project.makeconftest(READ_ONLY_FOR_WORKERS)
    result = run("--llmdiff-record=run.jsonl", "--llmdiff-json=report.json")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("llmdiff: warning*")
    assert (project.path / "run.jsonl").read_text(encoding="utf-8").count('"kind": "reply"') == 4
    assert contents(project.path / ".llmdiff") == before


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_store_that_git_tracks_is_told(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(SUITE)
    run().assert_outcomes(passed=2)
    file = project.path / ".llmdiff" / "store.sqlite3"

    def git(*args: str) -> None:
        subprocess.run(["git", *args], cwd=project.path, check=True, capture_output=True)

    git("init")
    git("add", ".")
    assert not tracked_by_git(file), "its .gitignore keeps it out"
    git("add", "--force", ".llmdiff/store.sqlite3")
    result = run()
    result.assert_outcomes(passed=2)
    warnings = [line for line in result.outlines if line.startswith("llmdiff: warning:")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"llmdiff: warning: git tracks the store {file}")
    git("rm", "--cached", "--force", ".llmdiff/store.sqlite3")
    assert not tracked_by_git(file)


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="choose another folder with --llmdiff-store"):
        Store(tmp_path / "file" / "store").put("fact", {"a": 1})
