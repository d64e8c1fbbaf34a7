"""Loads tokenizers, with bounds on what their steps can make of a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.engines.files.tokenizer_growth import check_growth

MOST_BYTES = 128 << 20  # the largest files in use, of a million tokens, have some 60 MB
STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def bounded_tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer that transformers finds in a folder; `options` are those of `from_pretrained`.

    Raises:
        ValueError: its steps grow texts beyond the bounds. The libraries may raise anything.
    """
    from transformers import AutoTokenizer

    # Loading sends added tokens through the normalizer, so the files are read first.
    files = [] if "gguf_file" in options else list(_files(folder))
    for file in files:
        _check(_object(file), file.name)
    found = AutoTokenizer.from_pretrained(folder, **options)
    backend = getattr(found, "backend_tokenizer", None)
    if backend is not None:
        # Other formats, and the classes of models, bring steps of their own.
        made = {name: _state(getattr(backend, name)) for name in STEPS}
        vocabulary = {} if files else backend.get_vocab()
        _check(made | {"model": {"vocab": vocabulary}}, "tokenizer")
    return found


def _check(parts: dict[str, Any], name: str) -> None:
    try:
        check_growth(parts)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _files(folder: Path) -> Iterator[Path]:
    """A configuration can name further files, for other versions of transformers."""
    config = folder / "tokenizer_config.json"
    more = _object(config).get("fast_tokenizer_files") if config.is_file() else None
    names = ["tokenizer.json", *(more if isinstance(more, list) else ())]
    return (folder / name for name in names if (folder / name).is_file())


def _object(file: Path) -> dict[str, Any]:
    if (size := file.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{file.name} has {size:,} bytes, and at most {MOST_BYTES:,} are read")
    found = bounded_json(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} is not a JSON object")
    return found


def _state(part: Any) -> Any:
    return None if part is None else json.loads(part.__getstate__())
