"""Which commit a report says it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdiff.plugin.closing.commit import NAMED, commit_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = COMMIT[::-1]


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        target = folder / name.replace("__", "/").replace("_", "-")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def test_that_of_the_checkout(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    assert commit_of(tmp_path) == ""
    write(git, HEAD="ref: refs/heads/main\n", packed_refs=f"# pack\n{OTHER} refs/heads/main\n")
    assert commit_of(tmp_path) == OTHER
    write(git, refs__heads__main=f"{COMMIT}\n")
    assert commit_of(tmp_path / "tests" / "deep") == COMMIT
    write(git, HEAD=f"{OTHER}\n")
    assert commit_of(tmp_path) == OTHER


def test_that_of_a_worktree(tmp_path: Path) -> None:
    held = tmp_path / "main" / ".git" / "worktrees" / "w"
    write(held, HEAD="ref: refs/heads/w\n", commondir="../..\n")
    write(tmp_path / "main" / ".git", refs__heads__w=COMMIT)
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {held}\n", encoding="utf-8")
    assert commit_of(tmp_path / "w") == COMMIT


@pytest.mark.parametrize("name", NAMED)
def test_that_which_ci_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, COMMIT)
    assert commit_of(tmp_path) == COMMIT
    monkeypatch.setenv(name, "<script>")
    assert commit_of(tmp_path) == ""


@pytest.mark.parametrize("head", ["", "ref:", "ref: nowhere", "<b>", "\udcff"])
def test_what_is_no_commit_is_none(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head.encode("utf-8", "surrogateescape"))
    assert commit_of(tmp_path) == ""
