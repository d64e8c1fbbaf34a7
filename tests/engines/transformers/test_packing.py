"""Packed weights: the same numbers, the same adapter checks, and nothing where it cannot be."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.engines.transformers.packing import dense, pack
from tests.support.tiny_models import save_adapter, save_model

if TYPE_CHECKING:
    import torch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    save_model(folder / "base")
    save_adapter(folder / "adapter", folder / "base")
    return folder


def loaded(folder: Path, **lora: Any) -> Any:
    """The base with the adapter, or with a fresh one of another kind."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        if not lora:
            return PeftModel.from_pretrained(model, str(folder / "adapter")).eval()
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora)).eval()


def logits(model: Any) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.arange(4, 44).view(4, 10)).logits
    return found


def packed_layers(model: Any) -> list[str]:
    return [name for name, p in model.named_parameters() if p.is_mkldnn]


def test_the_numbers_are_those_of_the_plain_layout(folder: Path) -> None:
    import torch

    model = loaded(folder)
    plain = {name: p.clone() for name, p in model.named_parameters()}
    adapted = logits(model)
    with model.disable_adapter():
        base = logits(model)
    unpack = pack(model)
    # Two layers with four projections of attention and three of the perceptron, and the head.
    assert len(packed_layers(model)) == 2 * 7 + 1
    torch.testing.assert_close(logits(model), adapted, rtol=1e-4, atol=1e-4)
    with model.disable_adapter():
        torch.testing.assert_close(logits(model), base, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(dense(p), plain[name]) for name, p in model.named_parameters())
    unpack()
    assert packed_layers(model) == []
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(logits(model), adapted)


def test_a_shared_embedding_keeps_its_rows(folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig.from_pretrained(folder / "base")
    config.tie_word_embeddings = True
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    before = logits(model)
    unpack = pack(model)
    assert len(packed_layers(model)) == 2 * 7
    assert not model.get_input_embeddings().weight.is_mkldnn
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
    unpack()
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("lora", "kept"),
    [
        ({"target_modules": ["q_proj", "v_proj"], "use_dora": True}, ("q_proj", "v_proj")),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, ("lm_head",)),
    ],
)
def test_weights_that_an_adapter_reads_stay_plain(
    folder: Path, lora: dict[str, Any], kept: tuple[str, ...]
) -> None:
    import torch

    model = loaded(folder, **lora)
    before = logits(model)
    pack(model)
    found = packed_layers(model)
    assert found
    assert not [name for name in found if any(part in name for part in kept)]
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)


def test_a_model_whose_code_reads_its_weights_is_left_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = loaded(folder)
    inner = model.get_base_model()
    head = inner.lm_head
    monkeypatch.setattr(
        inner.model.norm, "forward", lambda x: x * head.weight.sum(-1).mean().abs().clamp(min=1.0)
    )
    before = logits(model)
    pack(model)
    assert packed_layers(model) == []
    assert torch.equal(logits(model), before)


def test_pages_of_a_mapped_file_are_let_go_and_read_again(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from pytest_llmdiff.engines.transformers.mapped_files import MAPS, MappedFiles

    weight = torch.randn(512, 512)
    save_file({"weight": weight}, tmp_path / "model.safetensors")
    mapped = load_file(tmp_path / "model.safetensors")["weight"]
    files = MappedFiles()
    held = weight.clone()
    assert not files.forget(held), "memory that is no file's has no copy to be read again from"
    assert torch.equal(held, weight)
    assert torch.equal(mapped, weight)  # its pages are there now
    before = _resident(tmp_path)
    assert files.forget(mapped) == MAPS.is_file()
    if MAPS.is_file():
        assert before - _resident(tmp_path) >= 900
    assert torch.equal(mapped, weight)


def test_an_embedding_stays_in_its_file(folder: Path, tmp_path: Path) -> None:
    """Also one that the output layer shares; what was written to is no file's any more."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    from pytest_llmdiff.engines.transformers.mapped_files import MAPS

    config = LlamaConfig.from_pretrained(folder / "base", tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(tmp_path)

    def place_of_packed(written: bool) -> bool:
        model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
        embedding = model.get_input_embeddings()
        if written:
            embedding.weight.data[5] = 1.0
        before, place = logits(model), embedding.weight.data_ptr()
        pack(model)
        torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-4)
        return bool(embedding.weight.data_ptr() == place)

    assert place_of_packed(written=False) == MAPS.is_file()
    assert not place_of_packed(written=True)


def _resident(folder: Path) -> int:
    """Kilobytes of the folder's mapped files that are in memory, on Linux."""
    maps = Path("/proc/self/smaps")
    if not maps.is_file():
        return 0
    found, inside = 0, False
    for line in maps.read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            inside = str(folder) in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found
