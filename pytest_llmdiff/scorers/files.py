"""Where the files of a scorer's model are: on disk, in a package, or on the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.config.packages import given_path, package_path

UNKNOWN_SIZE = "size unknown"
SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".ckpt", ".bin")


def local_folder(location: str, folder: Path, *, option: str) -> Path | None:
    """A folder on disk or in an installed package; None for what may be a hub id."""
    if location.startswith("package:"):
        return package_path(location.removeprefix("package:"), what=option)
    path = given_path(location, folder, what=option)
    return path if path.is_dir() else None


def snapshot(repo: str, patterns: Sequence[str]) -> Path:
    """The files of `ORG/NAME[@REVISION]`, from the hub or its cache."""
    import huggingface_hub

    name, _, revision = repo.partition("@")
    return Path(
        huggingface_hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(patterns)
        )
    )


def is_cached(repo: str, patterns: Sequence[str]) -> bool:
    """Whether the cache has a snapshot of `ORG/NAME[@REVISION]`."""
    import huggingface_hub

    name, _, revision = repo.partition("@")
    try:
        huggingface_hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(patterns), local_files_only=True
        )
    except (OSError, ValueError):
        return False
    return True


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def model_files(folder: Path) -> list[Path]:
    """The files that a scorer's results depend on."""
    return [file for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES]


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
