"""Downloads from the hub, of one on the loopback interface."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmdiff.config import hub
from pytest_llmdiff.config.specs import Spec, fetch, parse_spec, repository
from pytest_llmdiff.errors import ConfigError
from tests.support.fake_hub import COMMIT, Hub, connect, hub_of

WEIGHTS = bytes(range(256)) * 8_000  # 2 MB
LOADED = {"config.json", "tokenizer.json", "model.safetensors", "additional_chat_templates/a.jinja"}
OTHERS = {
    "pytorch_model.bin", "consolidated.00.safetensors", "model.fp16.safetensors", "README.md",
    "onnx/model.onnx", "onnx/config.json", "checkpoint-5/model.safetensors", "optimizer.pt",
}  # fmt: skip
STEP = 300_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model, and an empty cache. A file of 1 MB is a large one."""
    files = tmp_path / "served" / "org" / "model"
    for name in LOADED | OTHERS:
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(json.dumps({"name": name}), encoding="utf-8")
    (files / "model.safetensors").write_bytes(WEIGHTS)
    (files / "consolidated.00.safetensors").write_bytes(WEIGHTS)
    with hub_of(tmp_path / "served") as served:
        connect(monkeypatch, served, tmp_path / "cache")
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", STEP)
        monkeypatch.setattr(hub, "LARGE", 1_000_000)
        yield served


@pytest.fixture
def spec(server: Hub, tmp_path: Path) -> Spec:  # noqa: ARG001
    return parse_spec("org/model", option="--llm-base", folder=tmp_path)


def pending(spec: Spec) -> hub.Download:
    wanted = repository(spec)
    assert wanted is not None
    download = hub.to_download(wanted)
    assert download is not None
    return download


def nothing_pending(spec: Spec) -> bool:
    wanted = repository(spec)
    assert wanted is not None
    return hub.to_download(wanted) is None


def broken_off(download: hub.Download, after: int) -> int:
    """How many bytes have come when a download is interrupted as by Ctrl-C."""
    come = 0

    def advance(count: int) -> None:
        nonlocal come
        come += count
        if come > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch(download, advance)
    return come


def test_what_loading_reads_is_told_and_downloaded(spec: Spec) -> None:
    download = pending(spec)
    assert (download.commit, download.begun) == (COMMIT, 0)
    assert set(download.sizes) == LOADED - {"config.json"}  # by which it was known as a model
    assert len(WEIGHTS) < download.size < len(WEIGHTS) + 1_000
    come = list[int]()
    hub.fetch(download, come.append)
    assert sum(come) == download.size
    folder = fetch(spec)
    assert {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} == LOADED
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert nothing_pending(spec)


def test_a_later_run_goes_on_where_one_was_interrupted(spec: Spec, server: Hub) -> None:
    broken_off(pending(spec), after=900_000)
    download = pending(spec)
    assert 600_000 <= download.begun < len(WEIGHTS)
    come = list[int]()
    hub.fetch(download, come.append)
    assert sum(come) == download.size - 900_000
    assert (fetch(spec) / "model.safetensors").read_bytes() == WEIGHTS
    assert server.starts_of("model.safetensors") == [0, 900_000]
    assert not list(download.folder.glob("blobs/*.incomplete"))


def test_a_script_goes_on_as_well(spec: Spec, server: Hub) -> None:
    broken_off(pending(spec), after=900_000)
    assert (fetch(spec) / "model.safetensors").read_bytes() == WEIGHTS
    assert server.starts_of("model.safetensors") == [0, 900_000]


def test_what_was_damaged_is_not_used(spec: Spec) -> None:
    download = pending(spec)
    broken_off(download, after=900_000)
    with download.part("model.safetensors").open("r+b") as file:
        file.write(b"other")
    with pytest.raises(ConfigError, match=r"model\.safetensors was damaged on the way"):
        hub.fetch(pending(spec), lambda _: None)
    hub.fetch(pending(spec), lambda _: None)
    assert (fetch(spec) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_that_fails_is_one_error_and_what_has_come_is_kept(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    download = pending(spec)
    broken_off(download, after=900_000)
    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    with pytest.raises(ConfigError) as caught:
        hub.fetch(download, lambda _: None)
    assert "the download of org/model broke off" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "run again to go on" in str(caught.value)
    assert pending(spec).begun == 900_000


def test_a_disk_without_room_is_an_error_before_the_download(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(pending(spec), after=900_000)
    usage = shutil.disk_usage("/")
    for free, enough in ((hub.SPARE + 1_100_000, False), (hub.SPARE + 1_200_000, True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: usage._replace(free=free))
        if enough:
            hub.fetch(pending(spec), lambda _: None)
            continue
        with pytest.raises(ConfigError, match="no room for the download of org/model") as caught:
            hub.fetch(pending(spec), lambda _: None)
        assert "1.1 MB" in str(caught.value)
        assert "HF_HUB_CACHE" in str(caught.value)
        assert pending(spec).begun == 900_000


def test_offline_nothing_is_asked_and_what_lacks_is_named(
    spec: Spec, server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(pending(spec), after=900_000)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    server.asked.clear()
    assert nothing_pending(spec)
    with pytest.raises(ConfigError, match=r"as a whole: .* lacks its weights, .*OFFLINE is set"):
        fetch(spec)
    folder = tmp_path / "cache" / "models--org--model" / "snapshots" / COMMIT
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / shards["a"]).write_bytes(b"")
    (folder / hub.SHARDS).write_text(json.dumps({"weight_map": shards}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lacks model-00002-of-00002\.safetensors"):
        fetch(spec)
    (folder / shards["b"]).write_bytes(b"")
    assert fetch(spec) == folder
    assert not server.asked


def test_pickled_weights_of_a_classifier_only_where_there_are_no_others(
    server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pytest_llmdiff.scorers.opening import fetch as fetch_scorer
    from pytest_llmdiff.scorers.opening import to_download

    monkeypatch.setattr("pytest_llmdiff.scorers.huggingface.read_heads", lambda *_, **__: None)
    for other in (False, True):
        spec = f"hf:org/{'pickled' if other else 'model'}#label"
        if other:
            served = server.root / "org" / "pickled"
            shutil.copytree(server.root / "org" / "model", served)
            for file in served.rglob("*.safetensors"):
                file.unlink()
        wanted = to_download("toxicity", spec, tmp_path)
        assert isinstance(wanted, hub.Repository)
        download = hub.to_download(wanted)
        assert download is not None
        assert ("pytorch_model.bin" in download.sizes) is other
        hub.fetch(download, lambda _: None)
        server.asked.clear()
        fetch_scorer("toxicity", spec, tmp_path)
        assert not server.asked


def test_a_hub_that_is_out_of_reach_is_named(
    spec: Spec, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the hub")

    with monkeypatch.context() as without:
        without.setattr("huggingface_hub.HfApi.list_repo_tree", refuse)
        with pytest.raises(ConfigError, match=r"cannot be asked \(no route to the hub\)"):
            fetch(spec)
    assert (fetch(spec) / "model.safetensors").read_bytes() == WEIGHTS
    server.asked.clear()
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_tree", refuse)
    assert (fetch(spec) / "model.safetensors").read_bytes() == WEIGHTS
    assert not server.asked
