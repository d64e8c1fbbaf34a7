"""Data sets of the hub, without a network: saved in a folder, as files, and in the cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config import packages
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import MissingPackageError, ProbeFileError
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

COLUMNS = {"prompt": "question", "reference": "answer"}


def test_without_the_package_the_error_has_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_is_installed", lambda name: name != "datasets")
    with pytest.raises(MissingPackageError, match=r'pip install "pytest-llmdiff\[datasets\]"'):
        probes_of_marker((), {"file": "hf:org/name", "columns": COLUMNS}, folder=tmp_path)


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets")


@pytest.fixture
def table(datasets: Any) -> Any:
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "answer": datasets.ClassLabel(names=["no", "yes"]),
            "points": datasets.Value("int64"),
        }
    )
    rows = {"question": ["Is it?", "你好吗？", "So?"], "answer": [0, 1, 1], "points": [3, 4, 5]}
    return datasets.Dataset.from_dict(rows, features=features)


def read(folder: Path, file: str, columns: dict[str, str] | None = None) -> list[Probe]:
    return probes_of_marker((), {"file": file, "columns": columns or COLUMNS}, folder=folder)


def test_a_saved_folder(tmp_path: Path, table: Any) -> None:
    table.save_to_disk(tmp_path / "saved")
    found = read(tmp_path, "hf:saved")
    assert [(probe.prompt, probe.reference) for probe in found] == [
        ("Is it?", "no"), ("你好吗？", "yes"), ("So?", "yes")
    ]  # fmt: skip
    points = read(tmp_path, "hf:saved", {"prompt": "question", "reference": "points"})
    assert [probe.reference for probe in points] == ["3", "4", "5"]


def test_splits(tmp_path: Path, datasets: Any, table: Any) -> None:
    both = datasets.DatasetDict({"train": table, "test": table.select([2])})
    both.save_to_disk(tmp_path / "saved")
    assert len(read(tmp_path, "hf:saved#test")) == 1
    assert [probe.prompt for probe in read(tmp_path, "hf:saved#train[1:]")] == ["你好吗？", "So?"]
    assert len(read(tmp_path, "hf:saved#train[:99]")) == 3
    for file, told in (
        ("hf:saved", "several splits; expected #SPLIT with one of train, test"),
        ("hf:saved#dev", "no split 'dev'; expected #SPLIT with one of train, test"),
        ("hf:saved#train[2:1]", "no rows"),
        ("hf:saved#a b", "not a data set; expected hf:ORG/NAME"),
        ("hf:#test", "not a data set; expected hf:ORG/NAME"),
    ):
        with pytest.raises(ProbeFileError, match=told):
            read(tmp_path, file)


def test_a_folder_of_files(tmp_path: Path, table: Any) -> None:
    (tmp_path / "files").mkdir()
    table.to_parquet(tmp_path / "files" / "test.parquet")
    assert len(read(tmp_path, "hf:files")) == 3


def test_the_cache_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, datasets: Any, table: Any
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "name").mkdir()
    table.to_parquet(tmp_path / "name" / "test.parquet")
    datasets.load_dataset(str(tmp_path / "name"), cache_dir=str(cache))
    (made,) = (path for path in (cache / "name" / "default" / "0.0.0").iterdir() if path.is_dir())
    shutil.copytree(made, cache / "org___name" / "default" / "0.0.0" / ("a" * 40))
    assert len(read(tmp_path, "hf:org/name#test[:2]")) == 2
    with pytest.raises(ProbeFileError, match="hf:org/other: it cannot be loaded"):
        read(tmp_path, "hf:org/other")


def test_columns_that_are_not_there(tmp_path: Path, table: Any) -> None:
    table.save_to_disk(tmp_path / "saved")
    with pytest.raises(ProbeFileError, match=r"'text': there is no such column; .* question, ans"):
        read(tmp_path, "hf:saved", {"prompt": "text"})
    with pytest.raises(ProbeFileError, match="name the columns that are, such as columns="):
        probes_of_marker((), {"file": "hf:saved"}, folder=tmp_path)


@pytest.mark.parametrize("place", ["../../x", "./x", ".hidden/x", "org/..", "/nowhere"])
def test_what_is_no_folder_here_is_not_looked_for_elsewhere(tmp_path: Path, place: str) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(ProbeFileError, match="no folder, and not of the form"):
        read(tmp_path, f"hf:{place}")


def test_a_data_set_of_probes_needs_no_columns(tmp_path: Path, datasets: Any) -> None:
    saved = datasets.Dataset.from_list(
        [{"prompt": "A?", "tags": ["x"]}, {"prompt": "B?", "tags": []}]
    )
    saved.save_to_disk(tmp_path / "saved")
    found = probes_of_marker((), {"file": "hf:saved"}, folder=tmp_path)
    assert [(probe.prompt, probe.tags) for probe in found] == [("A?", ("x",)), ("B?", ())]
