"""What files of a model count, and what their headers say."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pytest_llmdiff.engines.files.artifacts import (
    generation_stop_ids,
    has_tokenizer,
    parameter_count,
    safetensors_header,
    tokenizer_files,
    weight_files,
)
from pytest_llmdiff.errors import ModelError


def make(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}", encoding="utf-8")


def names(folder: Path, files: list[Path]) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]


EVERYTHING = (
    "README.md", "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors",
    "model.safetensors.index.json", "config.json", "generation_config.json", "optimizer.pt",
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "chat_template.jinja",
    "additional_chat_templates/rag.jinja", "trainer_state.json",
)  # fmt: skip


def test_files_of_a_model(tmp_path: Path) -> None:
    make(tmp_path, *EVERYTHING)
    assert names(tmp_path, weight_files(tmp_path)) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "config.json",
        "generation_config.json",
    ]
    assert names(tmp_path, tokenizer_files(tmp_path)) == [
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
        "chat_template.jinja", "additional_chat_templates/rag.jinja",
    ]  # fmt: skip


def test_files_of_an_adapter(tmp_path: Path) -> None:
    make(tmp_path, "adapter_config.json", "adapter_model.safetensors", "README.md")
    assert names(tmp_path, weight_files(tmp_path)) == [
        "adapter_model.safetensors",
        "adapter_config.json",
    ]
    assert tokenizer_files(tmp_path) == []
    assert not has_tokenizer(tmp_path)


def test_a_gguf_file_is_all_in_one(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert weight_files(file) == tokenizer_files(file) == [file]
    assert has_tokenizer(file)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tokenizer.json", True),
        ("tokenizer.model", True),
        ("vocab.txt", True),
        ("tokenizer_config.json", False),
        ("config.json", False),
    ],
)
def test_has_tokenizer(tmp_path: Path, name: str, found: bool) -> None:
    make(tmp_path, name)
    assert has_tokenizer(tmp_path) is found


@pytest.mark.parametrize(
    ("generation", "config", "ids"),
    [
        ({"eos_token_id": [7, 9]}, {"eos_token_id": 1}, (7, 9)),
        ({}, {"eos_token_id": 1}, (1,)),
        ({"eos_token_id": 0}, {"eos_token_id": 1}, (0,)),
        (None, {}, ()),
    ],
)
def test_stop_ids(
    tmp_path: Path,
    generation: dict[str, object] | None,
    config: dict[str, object],
    ids: tuple[int, ...],
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if generation is not None:
        file = tmp_path / "generation_config.json"
        file.write_text(json.dumps(generation), encoding="utf-8")
    assert generation_stop_ids(tmp_path) == ids


@pytest.mark.parametrize("ids", ['"x"', "NaN", "1e400", "[1, null]", "-1", "4294967296", "{}"])
def test_stop_ids_that_are_none(tmp_path: Path, ids: str) -> None:
    file = tmp_path / "generation_config.json"
    file.write_text(f'{{"eos_token_id": {ids}}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"generation_config\.json: eos_token_id is .*expected"):
        generation_stop_ids(tmp_path)


# Headers


def weights(folder: Path) -> Path:
    save_file(
        {"a.weight": torch.zeros(2, 3), "b.bias": torch.zeros(5, dtype=torch.bfloat16)},
        folder / "model-1.safetensors",
        metadata={"format": "pt"},
    )
    save_file({"scalar": torch.tensor(1.0)}, folder / "model-2.safetensors")
    return folder / "model-1.safetensors"


def test_a_header(tmp_path: Path) -> None:
    header = safetensors_header(weights(tmp_path))
    assert header.pop("__metadata__") == {"format": "pt"}
    assert {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()} == {
        "a.weight": ("F32", [2, 3]),
        "b.bias": ("BF16", [5]),
    }


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    weights(tmp_path)
    assert parameter_count(tmp_path) == 2 * 3 + 5 + 1


def test_a_folder_without_weights_has_none(tmp_path: Path) -> None:
    assert parameter_count(tmp_path) == 0


@pytest.mark.parametrize("size", [0, 5, 8, 40])
def test_a_file_that_is_cut_short(tmp_path: Path, size: int) -> None:
    file = weights(tmp_path)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelError) as caught:
        safetensors_header(file)
    assert str(caught.value).startswith(f"{file} is not a safetensors file or is cut short: ")


@pytest.mark.parametrize(
    "data",
    [
        b"version https://git-lfs.github.com/spec/v1\n",
        struct.pack("<Q", 2) + b"{]",
        struct.pack("<Q", 2) + b"\xff\xfe",
        struct.pack("<Q", 3) + b"[1]",
        struct.pack("<Q", 4) + b"null",
    ],
    ids=["git-lfs pointer", "no json", "no utf-8", "a list", "null"],
)
def test_a_file_that_is_something_else(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        safetensors_header(file)
    assert str(caught.value).startswith(f"{file} is not a safetensors file or is cut short: ")
