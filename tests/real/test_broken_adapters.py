"""The broken adapters are broken in the way they say, by PEFT, torch and real generation alone."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapter_making import merged, open_base
from tests.support.broken_adapters import ADDED_TOKEN, OTHER_BASE, UNTRAINED, bound, ratios
from tests.support.broken_adapters import base as base
from tests.support.stock_configs import stock_model
from tests.support.trainer_files import HEALTHY_LOSSES, MEMORISED_LOSSES, trainer_files

IDS = [[9, 40, 77, 12, 5]]


@pytest.fixture(scope="module")
def made(base: Path) -> Path:
    """Every adapter without training, in a folder of its name, over one shared base."""
    shared = open_base(base)
    before = {name: tensor.clone() for name, tensor in shared.model.state_dict().items()}
    for builder in UNTRAINED:
        assert builder(base.parent / builder.__name__, shared).is_dir()
        after = shared.model.state_dict()
        assert after.keys() == before.keys(), builder.__name__
        assert all(bool((after[name] == before[name]).all()) for name in before)
    return base.parent


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor(IDS)).logits


def plain_logits(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return logits(AutoModelForCausalLM.from_pretrained(base))


def tensors(adapter: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(adapter / "adapter_model.safetensors")
    return found


def config(adapter: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    return found


def test_all_leave_what_a_saved_adapter_has(made: Path, base: Path) -> None:
    for builder in UNTRAINED:
        folder = made / builder.__name__
        other = builder.__name__ in {"wrong_base", "renamed_base"}
        assert config(folder)["base_model_name_or_path"] == (OTHER_BASE if other else str(base))
        assert tensors(folder)
        assert not (folder / "README.md").exists()


def test_the_same_seed_gives_the_same_adapter(base: Path, tmp_path: Path) -> None:
    for builder in UNTRAINED:
        first, again, other = (
            builder(tmp_path / f"{builder.__name__}{index}", base, seed=seed)
            for index, seed in enumerate((1, 1, 2))
        )
        files = [(f / "adapter_model.safetensors").read_bytes() for f in (first, again, other)]
        assert files[0] == files[1], builder.__name__
        assert files[0] != files[2], builder.__name__


def test_no_op(made: Path, base: Path) -> None:
    assert ratios(bound(base, made / "no_op")) == [0.0] * 4
    assert (logits(bound(base, made / "no_op")) == plain_logits(base)).all()


def test_not_finite(made: Path, base: Path) -> None:
    bad = [(n, t) for n, t in tensors(made / "not_finite").items() if not t.isfinite().all()]
    ((name, tensor),) = bad
    assert "v_proj.lora_B" in name
    assert int(tensor.isnan().sum()) == 1
    assert logits(bound(base, made / "not_finite")).isnan().any()


def test_wrong_base(made: Path, base: Path) -> None:
    theirs, ours = tensors(made / "wrong_base"), tensors(made / "huge_update")
    assert theirs.keys() == ours.keys()
    assert {t.shape[1] for n, t in theirs.items() if "lora_A" in n} == {96}
    with pytest.raises(RuntimeError, match="size mismatch"):
        bound(base, made / "wrong_base")


def test_renamed_base_differs_in_nothing_else(made: Path, base: Path) -> None:
    assert all(0.019 < ratio < 0.021 for ratio in ratios(bound(base, made / "renamed_base")))


def test_unbound_keys(made: Path, base: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from peft import PeftModel

        model = PeftModel.from_pretrained(open_base(base).model, str(made / "unbound_keys"))
    assert any("missing adapter keys" in str(warning.message) for warning in caught)
    assert (logits(model) == plain_logits(base)).all(), "nothing was bound"
    assert all(".transformer.h." in name for name in tensors(made / "unbound_keys"))


def test_half_missing(made: Path, base: Path) -> None:
    names = set(tensors(made / "half_missing"))
    (lacking,) = set(tensors(made / "huge_update")) - names
    assert "lora_B" in lacking
    assert lacking.replace("lora_B", "lora_A") in names
    assert sorted(ratio > 0.01 for ratio in ratios(bound(base, made / "half_missing"))) == [
        False, True, True, True,
    ]  # fmt: skip


def test_sizes_of_updates(made: Path, base: Path) -> None:
    assert all(ratio > 0.2 for ratio in ratios(bound(base, made / "huge_update")))
    assert all(0 < ratio < 1e-6 for ratio in ratios(bound(base, made / "tiny_update")))


def test_rslora_is_scaled_by_the_root_of_its_rank(made: Path, base: Path) -> None:
    found = bound(base, made / "rslora")
    assert all(0.019 < ratio < 0.021 for ratio in ratios(found))
    (scale,) = {module.scaling["default"] for module in found.modules() if is_lora(module)}
    assert scale == 8 / math.sqrt(4)


def test_dora_moves_magnitudes_too(made: Path, base: Path) -> None:
    model = bound(base, made / "dora")
    assert config(made / "dora")["use_dora"] is True
    vectors = {n: t for n, t in tensors(made / "dora").items() if "magnitude" in n}
    assert len(vectors) == 4
    for module in model.modules():
        if is_lora(module):
            magnitude = module.lora_magnitude_vector["default"].weight
            rows = module.get_base_layer().weight.norm(dim=1)
            assert ((magnitude / rows - 1.01).abs() < 1e-4).all()
    assert (logits(model) - plain_logits(base)).abs().max() > 1e-3


def test_rank_and_alpha_pattern(made: Path, base: Path) -> None:
    found = {
        name.rsplit(".", 1)[1]: (module.r["default"], module.scaling["default"])
        for name, module in bound(base, made / "rank_pattern").named_modules()
        if is_lora(module)
    }
    assert found == {"q_proj": (2, 8 / 2), "v_proj": (4, 32 / 4)}


def test_modules_to_save(made: Path, base: Path) -> None:
    saved = tensors(made / "modules_to_save")
    (head,) = (tensor for name, tensor in saved.items() if "lm_head" in name)
    original = open_base(base).model.lm_head.weight.detach()
    assert head.shape == original.shape
    assert 0.001 < float((head - original).norm() / original.norm()) < 0.1
    loaded = bound(base, made / "modules_to_save").get_output_embeddings()
    assert (loaded.modules_to_save["default"].weight == head).all()


def test_added_token(made: Path, base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / "added_token")
    (new,) = tokenizer(ADDED_TOKEN, add_special_tokens=False)["input_ids"]
    opened = open_base(base)
    rows = opened.model.get_input_embeddings().num_embeddings
    assert new == rows == len(opened.tokenizer)
    saved = [t for n, t in tensors(made / "added_token").items() if n.endswith((
        "embed_tokens.weight", "lm_head.weight"
    ))]  # fmt: skip
    assert [len(tensor) for tensor in saved] == [rows + 1] * 2
    with pytest.raises(RuntimeError, match="size mismatch"):
        bound(base, made / "added_token")
    opened.model.resize_token_embeddings(rows + 1, mean_resizing=False)
    assert logits(bound(opened.model, made / "added_token")).shape[-1] == rows + 1


@pytest.mark.parametrize(("name", "kind"), [("ia3", "IA3"), ("prompt_tuning", "PROMPT_TUNING")])
def test_other_kinds_than_lora(made: Path, base: Path, name: str, kind: str) -> None:
    assert config(made / name)["peft_type"] == kind
    model = bound(base, made / name)
    assert ratios(model) == []
    changed = logits(model)[:, -len(IDS[0]) :]
    assert (changed - plain_logits(base)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["renamed_base", "dora", "rank_pattern", "modules_to_save"])
def test_merged_computes_what_the_adapter_does(
    made: Path, base: Path, tmp_path: Path, name: str
) -> None:
    from transformers import AutoTokenizer

    full = merged(made / name, tmp_path / "full", base)
    assert not (full / "adapter_config.json").exists()
    assert (plain_logits(full) - logits(bound(base, made / name))).abs().max() < 1e-4
    assert AutoTokenizer.from_pretrained(full)("Hi")["input_ids"]


def test_merged_with_an_added_token(made: Path, base: Path, tmp_path: Path) -> None:
    full = open_base(merged(made / "added_token", tmp_path / "full", base, dtype="bfloat16"))
    assert full.model.get_input_embeddings().num_embeddings == len(full.tokenizer)
    assert ADDED_TOKEN in full.tokenizer.get_vocab()
    assert str(full.model.dtype) == "torch.bfloat16"


@pytest.mark.parametrize("family", ["qwen2.5", "gemma3"])
def test_over_stock_models_with_tied_embeddings(tmp_path: Path, family: str) -> None:
    stock = stock_model(family, tmp_path / "base")
    shared = open_base(stock)
    for builder in UNTRAINED:
        adapter = builder(tmp_path / builder.__name__, shared)
        assert config(adapter)["task_type"] == "CAUSAL_LM"
    full = merged(tmp_path / "renamed_base", tmp_path / "full", shared)
    change = plain_logits(full) - logits(bound(stock, tmp_path / "renamed_base"))
    assert change.abs().max() < 1e-3
    assert (plain_logits(full) - plain_logits(stock)).abs().max() > 1e-2


def is_lora(module: Any) -> bool:
    return hasattr(module, "lora_A") and hasattr(module, "scaling")


def test_trainer_files_have_the_trainer_s_shape(tmp_path: Path) -> None:
    folder = trainer_files(tmp_path / "saves", MEMORISED_LOSSES, eval_losses=HEALTHY_LOSSES)
    state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
    lines = [json.loads(x) for x in (folder / "trainer_log.jsonl").read_text("utf-8").splitlines()]
    assert state["global_step"] == state["max_steps"] == 40
    for values, key in ((MEMORISED_LOSSES, "loss"), (HEALTHY_LOSSES, "eval_loss")):
        for rows, step in ((state["log_history"], "step"), (lines, "current_steps")):
            assert [row[key] for row in rows if key in row] == list(values)
            assert [row[step] for row in rows if key in row] == list(range(5, 41, 5))
    assert state["log_history"][-1]["train_loss"] == pytest.approx(sum(MEMORISED_LOSSES) / 8)
    assert lines[-1]["percentage"] == 100
    assert "- llama-factory\n" in (folder / "README.md").read_text("utf-8")
