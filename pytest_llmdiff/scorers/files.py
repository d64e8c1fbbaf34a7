"""Where the files of a scorer's model are: on disk, in a package, or on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.config.hub import Repository
from pytest_llmdiff.config.hub import local_folder as local_folder_of
from pytest_llmdiff.config.packages import given_path, package_path

SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".ckpt", ".bin")


def local_folder(location: str, folder: Path, *, option: str) -> Path | None:
    """A folder on disk or in an installed package; None for what may be a hub id."""
    if location.startswith("package:"):
        return package_path(location.removeprefix("package:"), what=option)
    path = given_path(location, folder, what=option)
    return path if path.is_dir() else None


def on_hub(location: str, patterns: Sequence[str], *, but: Sequence[str] = ()) -> Repository:
    """The files of `ORG/NAME[@REVISION]` that match."""
    name, _, revision = location.partition("@")
    return Repository(name=name, revision=revision or None, files=tuple(patterns), but=tuple(but))


def snapshot(repo: str, patterns: Sequence[str], *, but: Sequence[str] = ()) -> Path:
    """The folder of these files, from the hub or its cache."""
    return local_folder_of(on_hub(repo, patterns, but=but))


def model_files(folder: Path) -> list[Path]:
    """The files that a scorer's results depend on."""
    return [file for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES]
