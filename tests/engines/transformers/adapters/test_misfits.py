"""Real adapters that do not fit: the cause is told where they are loaded, and by their files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.engines.transformers.engine import TransformersEngine
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.measures.wiring import files as wiring
from pytest_llmdiff.measures.wiring.findings import Problem
from pytest_llmdiff.measures.wiring.inspection import inspect_pair
from tests.support import broken_adapters
from tests.support.adapter_making import edit_tensors
from tests.support.engines import pair
from tests.support.tiny_models import save_adapter, save_model

CHECKS = (
    wiring.base_findings, wiring.key_findings, wiring.value_findings, wiring.vocabulary_findings,
)  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_model(tmp_path / "base")


def problems(base: Path, tuned: Path) -> tuple[list[Problem], TransformersEngine]:
    both = pair(base.parent, "base", str(tuned), base.parent / "store")
    assert isinstance(both.base, TransformersEngine)
    assert isinstance(both.tuned, TransformersEngine)
    facts = inspect_pair(both.base, both.tuned)
    return [p for check in CHECKS for p in check(facts).problems], both.tuned


def emptied(names: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {n: torch.zeros(0) if "layers.1" in n else t for n, t in names.items()}


@pytest.mark.skipif(
    Version(str(installed_version("peft"))) < Version("0.21"), reason="PEFT 0.21 binds them"
)
def test_names_with_the_adapters_name_bind_as_in_peft(base: Path, tmp_path: Path) -> None:
    tuned = edit_tensors(
        save_adapter(tmp_path / "tuned", base),
        lambda tensors: {n.replace(".weight", ".default.weight"): t for n, t in tensors.items()},
    )
    found, engine = problems(base, tuned)
    assert not found
    health = engine.adapter_health()
    assert health is not None
    assert not health.problems()


def test_tensors_without_elements(base: Path, tmp_path: Path) -> None:
    found, engine = problems(base, edit_tensors(save_adapter(tmp_path / "tuned", base), emptied))
    assert ["ZeRO-3" in problem.cause for problem in found] == [True]
    with pytest.raises(ModelError, match=r"4 of the adapter's 8 tensors have no elements.*ZeRO-3"):
        engine.adapter_health()


def test_an_edited_rank(base: Path, tmp_path: Path) -> None:
    tuned = save_adapter(tmp_path / "tuned", base)
    file = tuned / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 2}))
    found, engine = problems(base, tuned)
    assert ["another rank than adapter_config.json says (r 2)" in p.cause for p in found] == [True]
    with pytest.raises(ModelError, match="another rank"):
        engine.adapter_health()


def test_another_base_names_the_tensors_and_both_shapes(base: Path, tmp_path: Path) -> None:
    found, engine = problems(base, broken_adapters.wrong_base(tmp_path / "tuned", base))
    assert len(found) == 1
    assert "needed" in found[0].cause
    with pytest.raises(ModelError, match="do not have the shape that this base needs"):
        engine.adapter_health()


def test_modules_saved_over_cut_embeddings(base: Path, tmp_path: Path) -> None:
    def cut(tensors: dict[str, Any]) -> dict[str, Any]:
        return {n: t[:-3].clone() if "lm_head" in n else t for n, t in tensors.items()}

    tuned = edit_tensors(broken_adapters.modules_to_save(tmp_path / "tuned", base), cut)
    found, engine = problems(base, tuned)
    assert len(found) == 1
    assert "padding rows of the base were cut off" in found[0].cause
    assert "were added" not in found[0].cause
    with pytest.raises(ModelError, match="resize_token_embeddings"):
        engine.adapter_health()


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral", "gpt_oss"])
def test_adapted_experts_are_measured(kind: str, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from tests.support.tiny_models import CONTEXT, save_tokenizer

    tokenizer = save_tokenizer(tmp_path / "base")
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=CONTEXT,
        num_experts_per_tok=2, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
        bos_token_id=None, moe_intermediate_size=16, decoder_sparse_step=1,
        **{"num_experts" if kind == "qwen3_moe" else "num_local_experts": 4},
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    lora = LoraConfig(
        r=2, target_modules=["q_proj"], target_parameters=targets, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        model = get_peft_model(model, lora)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
        model.save_pretrained(tmp_path / "tuned", save_embedding_layers=False)
    found, engine = problems(tmp_path / "base", tmp_path / "tuned")
    assert not found
    health = engine.adapter_health()
    assert health is not None
    assert not health.problems()
    assert not health.left_out
    assert len(health.norms) == 6
