"""Readers of the files of models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.reading.llamafactory import TRAINED
from benchmarks.faults.reading.reader import Reader, single

HEADER = b'{"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}'
ASKED = ({"role": "user", "content": "Where is my order?"},)


def of_models(folder: Path) -> Iterator[Reader]:
    from pytest_llmdiff.engines.files.artifacts import (
        generation_stop_ids,
        initialisation,
        parameter_count,
        vocabulary_rows,
    )
    from pytest_llmdiff.engines.files.chat_templates import has_chat_template, templates_in
    from tests.support.tiny_models import save_tokenizer

    save_tokenizer(folder / "tokenizer")
    tokenizer = {file.name: file.read_bytes() for file in (folder / "tokenizer").iterdir()}
    for name in sorted(tokenizer):
        yield Reader(name=name, files={name: tokenizer[name]} | tokenizer, read=_render)
    yield Reader(name="adapter_config.json", read=_adapter,
                 files={"adapter_config.json": json.dumps(_lora()).encode(),
                        "adapter_model.safetensors": _safetensors()})  # fmt: skip
    base = {"models/base/config.json": b'{"model_type": "llama"}',
            "models/base/model.safetensors": _safetensors()}  # fmt: skip
    adapter = {"saves/adapter_config.json": json.dumps(_lora()).encode(),
               "saves/adapter_model.safetensors": _safetensors()}  # fmt: skip
    training = (
        b"model_name_or_path: models/base\noutput_dir: saves\ndo_train: true\nstage: sft\n"
        b"dataset: ours\ndataset_dir: data\n"
    )
    info = {"data/dataset_info.json": b'{"ours": {"file_name": "ours.json"}}',
            "data/ours.json": json.dumps([TRAINED]).encode()}  # fmt: skip
    yield Reader(
        name="an adapter to open", files=adapter | base, read=lambda at: _open(at, "saves")
    )
    yield Reader(name="a training to open", files={"train.yaml": training} | adapter | base | info,
                 read=lambda at: _open(at, "train.yaml"))  # fmt: skip
    for name in ("training_args.yaml", "chat_template.jinja", "README.md", "trainer_state.json"):
        data = {"training_args.yaml": training, "trainer_state.json": b'{"global_step": 2}'}.get(
            name, b"---\ntags: [trl]\n---\n{{ messages }}"
        )
        yield Reader(
            name=f"{name} beside an adapter",
            files={f"saves/{name}": data} | adapter | base | info,
            read=lambda at: _open(at, "saves"),
        )
    config = {"vocab_size": 32, "eos_token_id": [1, 2], "text_config": {"vocab_size": 32}}

    def configured(at: Path) -> None:
        generation_stop_ids(at)
        vocabulary_rows(at)
        initialisation(at)

    for name in ("config.json", "generation_config.json"):
        yield Reader(name=name, files={name: json.dumps(config).encode()}, read=configured)
    named = {"chat_template": [{"name": "default", "template": "{{ messages }}"}]}
    yield Reader(name="processor_config.json", read=templates_in,
                 files={"processor_config.json": json.dumps(named).encode()})  # fmt: skip
    yield single("safetensors, its header", "header.json", HEADER, _header)
    yield Reader(name="safetensors", files={"model.safetensors": _safetensors()},
                 read=parameter_count)  # fmt: skip

    def header(path: Path) -> None:
        has_chat_template(path)
        parameter_count(path)

    yield single("GGUF header", "model.gguf", _gguf(folder / "model.gguf"), header)


def _render(folder: Path) -> None:
    from pytest_llmdiff.engines.files.rendering import Renderer

    renderer = Renderer(folder)
    renderer.ids(ASKED)  # type: ignore[arg-type]
    renderer.stop_ids()


def _adapter(folder: Path) -> None:
    from pytest_llmdiff.config.adapter_code import require_no_code
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.training.adapter_base import named_base
    from pytest_llmdiff.engines.files.artifacts import initialisation
    from pytest_llmdiff.engines.transformers.adapters.binding import read_adapter_config

    parse_spec(str(folder), option="--llm-tuned", folder=folder)
    require_no_code(folder / "adapter_config.json", "--llm-tuned")
    named_base(folder)
    initialisation(folder)
    read_adapter_config(folder)


def _open(folder: Path, tuned: str) -> None:
    """A pair of models as a user opens it, without loading any, and what the training left."""
    from pytest_llmdiff import open_pair
    from pytest_llmdiff.config.keywords import settings_of
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.data.training.models import named_models
    from pytest_llmdiff.data.training.training import find_train_data, find_training

    path = str(folder / tuned)
    with open_pair(tuned=path, store=folder / "store"):
        pass
    settings = named_models(settings_of(None, path, {})).settings
    spec = parse_spec(str(settings.tuned), option="--llm-tuned", folder=folder)
    find_train_data(find_training(spec, settings), settings)


def _lora() -> dict[str, Any]:
    return {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "models/base",
        "r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"],
        "init_lora_weights": True, "bias": "none", "modules_to_save": None,
        "rank_pattern": {}, "alpha_pattern": {}, "layers_to_transform": [0, 1],
    }  # fmt: skip


def _safetensors(header: bytes = HEADER) -> bytes:
    return len(header).to_bytes(8, "little") + header + b"\0" * 16


def _header(file: Path) -> None:
    from pytest_llmdiff.engines.files.artifacts import parameter_count

    weights = file.with_name("model.safetensors")
    with file.open("rb") as header:  # which may have no end
        weights.write_bytes(_safetensors(header.read(1 << 20)))
    parameter_count(file.parent)


def _gguf(path: Path) -> bytes:
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b", "c"])
    writer.add_uint32("llama.block_count", 1)
    writer.add_tensor("output.weight", numpy.zeros((2, 32), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()
