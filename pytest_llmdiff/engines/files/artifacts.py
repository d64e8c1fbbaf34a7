"""The files that a model consists of, and what can be read from them without loading it."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.engines.files.chat_templates import template_files
from pytest_llmdiff.engines.files.gguf_header import check_gguf
from pytest_llmdiff.errors import ModelError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tekken.json",
)
MOST_TOKENS = 1 << 32  # ids are kept as 32-bit integers
CONFIG_FILES = ("config.json", "generation_config.json", "adapter_config.json")


def weight_files(path: Path) -> list[Path]:
    """The files that decide what the model computes: weights and configuration."""
    if path.is_file():
        return [path]
    names = [path / name for name in CONFIG_FILES]
    found = [
        *path.glob("*.safetensors"),
        *path.glob("*.safetensors.index.json"),
        *path.glob("*.py"),
    ]
    return sorted(found) + [file for file in names if file.is_file()]


def tokenizer_files(path: Path) -> list[Path]:
    """The files that decide how text becomes tokens; a GGUF file contains its tokenizer."""
    if path.is_file():
        return [path]
    extra = [
        f for end in ("*.model", "*.tiktoken") for f in path.glob(end)
        if f.name not in TOKENIZER_FILES
    ]  # fmt: skip
    named = [path / name for name in TOKENIZER_FILES if (path / name).is_file()]
    return [*named, *template_files(path), *sorted(extra)]


def has_tokenizer(path: Path) -> bool:
    """Whether a folder has a tokenizer (adapters may or may not)."""
    return path.is_file() or any(
        (path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json",
                                              "vocab.txt", "tekken.json")
    )  # fmt: skip


def generation_stop_ids(path: Path) -> tuple[int, ...]:
    """The stop ids of a folder's generation config, or of its config where there is none.

    None for a GGUF file, whose only stop id is its tokenizer's.

    Raises:
        ModelError: they are no token ids.
    """
    for name in ("generation_config.json", "config.json"):
        file = path / name
        found = _json(file).get("eos_token_id") if file.is_file() else None
        if found is None:
            continue
        ids = found if isinstance(found, list) else [found]
        if not all(type(each) is int and 0 <= each < MOST_TOKENS for each in ids):
            raise ModelError(
                f"{file}: eos_token_id is {found!r:.80}; expected a token id or a list of them"
            )
        return tuple(ids)
    return ()


def initialisation(adapter: Path) -> object:
    """`init_lora_weights` of an adapter; None if its configuration says none or is unreadable."""
    try:
        return _json(adapter / "adapter_config.json").get("init_lora_weights")
    except (OSError, ModelError):
        return None  # loading says so


def vocabulary_rows(path: Path) -> int | None:
    """The number of rows of a model's embeddings by its configuration; None where it says none, as
    for a GGUF file."""
    file = path / "config.json"
    config = _json(file) if file.is_file() else {}
    text = config.get("text_config")
    found = text.get("vocab_size") if isinstance(text, dict) else None
    found = config.get("vocab_size") if found is None else found
    return found if type(found) is int else None


def parameter_count(path: Path) -> int:
    """Number of parameters, from the headers of the files."""
    if path.is_file():
        from gguf import GGUFReader

        check_gguf(path)
        try:
            return sum(int(tensor.n_elements) for tensor in GGUFReader(path).tensors)
        except Exception as error:  # the reader hardly validates the file
            raise ModelError(f"{path} is not a GGUF file or is cut short: {error}") from error
    shapes = [
        entry["shape"]
        for file in sorted(path.glob("*.safetensors"))
        if not file.name.startswith("consolidated")  # the same weights for another loader
        for name, entry in safetensors_header(file).items()
        if name != "__metadata__"
    ]
    return sum(prod(shape) for shape in shapes)


def safetensors_header(file: Path) -> dict[str, Any]:
    """Names, dtypes and shapes of the tensors in a .safetensors file.

    A file begins with a little-endian length and that many bytes of JSON (safetensors' README).
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = bounded_json(stream.read(length).decode())
        if not isinstance(header, dict):
            raise ValueError("its header is not an object")
        for name, entry in header.items():
            if not (isinstance(entry, dict) and (name == "__metadata__" or _is_tensor(entry))):
                raise ValueError(f"its header says {entry!r:.80} of {name!r:.80}")
    except (struct.error, ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not a safetensors file or is cut short: {error}") from error
    return dict(header)


def _is_tensor(entry: dict[str, Any]) -> bool:
    shape = entry.get("shape")
    sized = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    return sized and isinstance(entry.get("dtype"), str)


def _json(file: Path) -> dict[str, Any]:
    try:
        found = bounded_json(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} is not a JSON object")
    return found
