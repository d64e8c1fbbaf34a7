"""Repositories on the Hugging Face hub: what of them is not here yet, and bringing it here.

`huggingface_hub` begins a file that was cut off anew: since 1.31 it writes into a file of its own
name, which it deletes. So large files are fetched here, into one that a later run goes on with,
and put where its cache expects them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.errors import ConfigError

LARGE = 10_000_000  # bytes from which a file is fetched so that a later run can go on with it
SHA256 = 64  # hexadecimal digits, by which the hub names a large file's content
SPARE = 100_000_000  # bytes that remain free beside what is downloaded
ON = ("1", "true", "yes", "on")
# Of a model only what loading reads, without optimizer states and copies of the weights in other
# formats: folders of other runtimes and of checkpoints, Mistral's own names, transformers' own
# variants.
MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.tiktoken", "*.txt", "*.py")
SHARDS = "model.safetensors.index.json"
TOKENIZER_FILES = tuple(name for name in MODEL_FILES if name != "*.safetensors")
OTHER_FILES = (
    *(f"*/*.{kind}" for kind in ("json", "safetensors", "model", "tiktoken", "txt")),
    "consolidated*.safetensors", "*.fp16*.safetensors", "*.fp32*.safetensors",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The files of `name` at a revision (a commit, branch or tag; None: the default branch) that
    match a pattern of `files`, and none of `but`."""

    name: str
    revision: str | None
    files: tuple[str, ...]
    but: tuple[str, ...] = ()

    def selection(self) -> dict[str, Any]:
        """As `huggingface_hub.snapshot_download` takes it."""
        return {
            "repo_id": self.name,
            "revision": self.revision,
            "allow_patterns": list(self.files),
            "ignore_patterns": list(self.but),
        }


@dataclass(frozen=True, kw_only=True)
class Download:
    """The files of a repository that are not here, with their sizes in bytes. `folder` is the
    repository's in the cache, and `begun` has the bytes of them that an earlier run has left."""

    repository: Repository
    commit: str
    folder: Path
    sizes: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    @property
    def begun(self) -> int:
        return sum(min(size, _size(self.part(name))) for name, size in self.sizes.items())

    def part(self, name: str) -> Path:
        """The file into which a large one is fetched."""
        return self.folder / "blobs" / f"{self.commit}--{name.replace('/', '--')}.incomplete"


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ON


def to_download(repository: Repository) -> Download | None:
    """What has to be downloaded; None where all of it is here, or the hub cannot be asked.

    The hub is asked for the list of the files, unless the cache has that of this commit.
    """
    import huggingface_hub

    if offline():
        return None
    try:
        with quiet():
            found = huggingface_hub.snapshot_download(**repository.selection(), dry_run=True)
    except Exception:  # whoever needs the files finds out, and says, why
        return None
    if any(file.filename.endswith(".safetensors") for file in found):  # the same as a pickle
        repository = replace(repository, but=(*repository.but, "*.bin"))
        found = [file for file in found if not file.filename.endswith(".bin")]
    lacking = [file for file in found if file.will_download]
    if not lacking:
        return None
    file = lacking[0]
    return Download(
        repository=repository,
        commit=file.commit_hash,
        folder=Path(file.local_path.removesuffix(file.filename)).parents[1],
        sizes={file.filename: file.file_size or 0 for file in lacking},
    )


def require_room(downloads: Iterable[Download]) -> None:
    """Check that the disk has room for all of them.

    Raises:
        ConfigError: it has not. The message has the sizes and the folder.
    """
    needed = [(download, download.size - download.begun) for download in downloads]
    if not needed:
        return
    cache = needed[0][0].folder.parent
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if sum(size for _, size in needed) + SPARE <= free:
        return
    each = ", ".join(f"{d.repository.name} ({size_text(size)})" for d, size in needed)
    raise ConfigError(
        f"there is no room for the download of {each}: {size_text(free)} are free in {cache}. Free "
        "some (`hf cache ls` shows what is there), or name a folder on another disk in the "
        "environment variable HF_HUB_CACHE"
    )


def fetch(download: Download, advance: Callable[[int], object] | None = None) -> None:
    """Bring the files here. `advance` is told of the bytes that come, `size` less `begun`; without
    it, the hub's own bars show the progress.

    Raises:
        ConfigError: one cannot be had. What has come is kept.
    """
    require_room([download])
    large = [name for name, size in download.sizes.items() if size >= LARGE]
    # Fetched by hf_xet in parallel, which is faster on fast lines, and begins anew if cut off.
    if os.environ.get("HF_XET_HIGH_PERFORMANCE", "").lower() in ON:
        large = []
    try:
        for name in large:
            _fetch_large(download, name, advance)
        with nullcontext() if advance is None else quiet():
            local_folder(download.repository)
    except Exception as error:
        raise ConfigError(
            f"the download of {download.repository.name} broke off ({first_line(error)}). What has "
            "come is kept: run again to go on"
        ) from error
    if advance is not None:
        advance(sum(size for name, size in download.sizes.items() if name not in large))


def local_folder(repository: Repository) -> Path:
    """The folder with its files, downloaded where they are not here.

    Raises:
        Exception: they cannot be had; what `huggingface_hub` says, or its client for HTTP.
    """
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(**repository.selection()))


def model_folder(repository: Repository, *, what: str) -> Path:
    """The same for a model that the user calls `what`.

    Raises:
        ConfigError: its files cannot be had.
    """
    import huggingface_hub

    reason = "HF_HUB_OFFLINE is set" if offline() else ""
    try:
        with quiet():
            folder = local_folder(repository)
    except Exception as error:
        reason = reason or first_line(error)
        try:
            # Some releases ask the hub for the list of a commit's files where all of them are here.
            folder = Path(
                huggingface_hub.snapshot_download(**repository.selection(), local_files_only=True)
            )
        except (OSError, ValueError):
            raise ConfigError(f"{what} cannot be fetched: {first_line(error)}") from error
    if reason and any(name.endswith(".safetensors") for name in repository.files):
        _require_weights(folder, what, reason)
    return folder


def _require_weights(folder: Path, what: str, reason: str) -> None:
    """Without the hub, what is left of a download that was cut off looks like a repository."""
    named = set[str]()
    if not (folder / "model.safetensors").is_file():
        with suppress(OSError, ValueError, AttributeError):  # whatever loads it says what is wrong
            index = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
            named = set(index.get("weight_map", {}).values())
    lacking = sorted(name for name in named if not (folder / name).is_file())
    if not any(folder.glob("*.safetensors")):
        lacking = ["its weights"]
    if lacking:
        raise ConfigError(
            f"{what} is not here as a whole: {folder} lacks {', '.join(lacking)}, and the hub "
            f"cannot be asked ({reason}). Run again with the hub in reach to go on with the "
            "download"
        )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def size_text(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _fetch_large(download: Download, name: str, advance: Callable[[int], object] | None) -> None:
    """Fetch a file into the cache, from where an earlier run was cut off. One whose content the hub
    does not name by its SHA-256 is left to `huggingface_hub`."""
    from filelock import FileLock
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(download.repository.name, name, revision=download.commit)
    digest = get_hf_file_metadata(url).etag or ""
    if len(digest) != SHA256:
        return
    folder, part = download.folder, download.part(name)
    # The lock that `huggingface_hub` takes for the same file.
    lock = folder.parent / ".locks" / folder.name / f"{digest}.lock"
    for needed in (lock.parent, part.parent):
        needed.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if (part.parent / digest).exists():  # another process was faster
            return
        begun = _size(part)
        with part.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=begun,
                expected_size=download.sizes[name],
                headers=build_hf_headers(),
                displayed_filename=name,
                tqdm_class=None if advance is None else _bar(advance),
            )
        with part.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == digest
        if not same:
            part.unlink()
            raise OSError(f"{name} was damaged on the way, and is deleted")
        part.replace(part.parent / digest)


def _bar(advance: Callable[[int], object]) -> Any:
    """What `http_get` takes for a bar of tqdm."""

    class Advance:
        def __init__(self, **_: object) -> None: ...
        def __enter__(self) -> Advance:
            return self

        def __exit__(self, *_: object) -> None: ...
        def update(self, count: int) -> None:
            advance(count)

    return Advance
