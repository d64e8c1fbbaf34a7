"""Hashes of files: read once, and never taken from a name that anybody could give."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.files.hashes import file_hash, files_hash
from pytest_llmdiff.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def no_full_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMDIFF_FULL_HASH", raising=False)


class Reads:
    """Counts how often the bytes of a file are hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._hash = hashlib.file_digest
        monkeypatch.setattr(hashlib, "file_digest", self)

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        return self._hash(*args)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, no_full_hash: None) -> Reads:  # noqa: ARG001
    return Reads(monkeypatch)


def test_a_file_is_read_once(store: Store, tmp_path: Path, reads: Reads) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes("权重".encode())
    time.sleep(1.1)  # a younger file could change again within the clock's grain
    expected = sha256("权重".encode())
    assert [file_hash(store, file), file_hash(store, file)] == [expected, expected]
    assert reads.count == 1
    other = Store(store.folder)
    assert file_hash(other, file) == expected
    other.close()
    assert reads.count == 1


def test_changed_bytes_change_the_hash(store: Store, tmp_path: Path, reads: Reads) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"before")
    before = file.stat()
    time.sleep(1.1)
    assert file_hash(store, file) == sha256(b"before")
    file.write_bytes(b"after!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino,
    )  # fmt: skip
    assert file_hash(store, file) == sha256(b"after!")
    assert reads.count == 2


def test_changes_in_quick_succession_are_seen(store: Store, tmp_path: Path, reads: Reads) -> None:
    file = tmp_path / "adapter_model.safetensors"
    for number in range(50):
        data = b"%02d" % number
        file.write_bytes(data)
        os.utime(file, ns=(0, 0))
        assert file_hash(store, file) == sha256(data)
    assert reads.count == 50


def test_another_file_at_the_same_path(store: Store, tmp_path: Path, reads: Reads) -> None:
    file, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    for path, data in ((file, b"before"), (other, b"after!")):
        path.write_bytes(data)
        os.utime(path, ns=(0, 0))
    time.sleep(1.1)
    assert file_hash(store, file) == sha256(b"before")
    shutil.move(other, file)
    assert file_hash(store, file) == sha256(b"after!")
    assert reads.count == 2


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def hub_link(cache: Path, blob: str) -> Path:
    """A file as in the Hugging Face cache: a link to a blob that is named by its hash."""
    target = cache / "models--org--name" / "blobs" / blob
    target.parent.mkdir(parents=True)
    target.write_bytes(b"other bytes than the name says")
    link = target.parents[1] / "snapshots" / "main" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    return link


BLOB = sha256(b"weights")


def test_a_hub_file_is_known_by_its_blob(store: Store, hub_cache: Path, reads: Reads) -> None:
    assert file_hash(store, hub_link(hub_cache, BLOB)) == BLOB
    assert reads.count == 0


@pytest.mark.parametrize("place", ["another cache", "another folder"])
def test_a_name_is_no_hash_outside_of_the_cache(
    store: Store, tmp_path: Path, hub_cache: Path, reads: Reads, place: str
) -> None:
    """Whoever sends an adapter may name its weights by the hash of others."""
    if place == "another cache":
        link = hub_link(tmp_path / "adapter", BLOB)
    else:  # a link from outside into the cache
        link = tmp_path / "model.safetensors"
        link.symlink_to(hub_link(hub_cache, BLOB).resolve())
    assert file_hash(store, link) == sha256(b"other bytes than the name says")
    assert reads.count == 1


@pytest.mark.parametrize("blob", [sha256(b"x")[:40], "z" * 64, "my-model-in-a-folder-that-happens"])
def test_other_files_of_such_a_folder_are_read(
    store: Store, hub_cache: Path, reads: Reads, blob: str
) -> None:
    link = hub_link(hub_cache, blob)
    assert file_hash(store, link) == sha256(b"other bytes than the name says")
    assert reads.count == 1


def test_a_full_hash_reads_every_time(
    store: Store, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    time.sleep(1.1)
    monkeypatch.setenv("LLMDIFF_FULL_HASH", "1")
    assert [file_hash(store, file), file_hash(store, file)] == [BLOB, BLOB]
    assert reads.count == 2


def test_a_full_hash_reads_hub_files_as_well(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMDIFF_FULL_HASH", "1")
    link = hub_link(tmp_path, BLOB)
    assert file_hash(store, link) == sha256(b"other bytes than the name says")


@pytest.mark.usefixtures("no_full_hash")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have Unicode file names only")
def test_a_file_name_that_is_not_utf8(store: Store, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    file.write_bytes(b"weights")
    os.utime(file, ns=(0, 0))
    time.sleep(1.1)
    assert [file_hash(store, file), file_hash(store, file)] == [BLOB, BLOB]


@pytest.mark.usefixtures("no_full_hash")
def test_hashes_do_not_depend_on_the_folder(store: Store, tmp_path: Path) -> None:
    found = []
    for name in ("one", "二"):
        folder = tmp_path / name
        folder.mkdir()
        files = [folder / "a.json", folder / "b.json"]
        for file in files:
            file.write_text(file.name, encoding="utf-8")
        found.append(json.dumps(files_hash(store, files)))
    assert found[0] == found[1]
    assert files_hash(store, files[::-1]) != files_hash(store, files)
