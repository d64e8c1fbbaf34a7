"""Which commit the tests are of."""

from __future__ import annotations

import os
import re
from pathlib import Path

NAMED = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")  # GitHub, GitLab, Jenkins
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit_of(folder: Path) -> str:
    """The commit of a folder's checkout: what CI says, or else what its `.git` names. Empty if
    there is none. Git itself is not run."""
    said = next(filter(None, map(os.environ.get, NAMED)), "")
    if COMMIT.fullmatch(said):
        return said
    try:
        return _head(folder.resolve())
    except (OSError, ValueError):  # not readable, or not text
        return ""


def _head(folder: Path) -> str:
    git = next((p / ".git" for p in (folder, *folder.parents) if (p / ".git").exists()), None)
    if git is None:
        return ""
    if git.is_file():  # of a worktree or a submodule
        git = git.parent / _read(git).removeprefix("gitdir:").strip()
    head = _read(git / "HEAD")
    if head.startswith("ref:"):
        name = head.removeprefix("ref:").strip()
        common = git / "commondir"
        shared = git / _read(common) if common.is_file() else git
        head = _ref(shared, name)
    return head if COMMIT.fullmatch(head) else ""


def _ref(git: Path, name: str) -> str:
    if (git / name).is_file():
        return _read(git / name)
    packed = git / "packed-refs"
    lines = _read(packed).splitlines() if packed.is_file() else ()
    return next((line[: -len(name)].strip() for line in lines if line.endswith(f" {name}")), "")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
