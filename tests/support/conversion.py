"""Expanded models, compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.files.conversion import Form
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from tests.support.tiny_models import save_gguf


class Words:
    """A form that upper-cases a file's word, and what was done."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.done: list[str] = []
        self.save: Callable[[str, Path], object] = self.written
        self.load: Callable[[Path], str] = self.read

    def form(self) -> Form[str]:
        return Form(
            name="word", make=self.made, save=lambda *a: self.save(*a),
            load=lambda folder: self.load(folder), digest=str, size=len,
        )  # fmt: skip

    def made(self) -> str:
        self.done.append("made")
        return self.file.read_text().upper()

    def written(self, word: str, folder: Path) -> None:
        (folder / "word.txt").write_text(word)

    def read(self, folder: Path) -> str:
        self.done.append("read")
        return (folder / "word.txt").read_text()


def expanded(file: Path, dtype: str = "float32") -> Any:
    """The file through transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet():
        return AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=getattr(torch, dtype)
        )


def model_of(both: Pair) -> Any:
    assert isinstance(both.base, TransformersEngine)
    return both.base.weights.load()


def assert_same_bits(model: Any, plain: Any) -> None:
    import torch

    assert type(model) is type(plain)
    theirs = {**plain.state_dict(), **dict(plain.named_buffers())}
    ours = {**model.state_dict(), **dict(model.named_buffers())}
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor), name
    ids = torch.arange(5, 45)[None]
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, plain.eval()(ids).logits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tied.gguf`, `untied.gguf`."""
    folder = tmp_path_factory.mktemp("gguf")
    for name in ("tied", "untied"):
        save_gguf(folder / f"{name}.gguf", tied=name == "tied")
    return folder
