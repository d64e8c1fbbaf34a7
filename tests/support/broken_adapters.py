"""Adapters that are broken, or unusual, in one known way each, made by PEFT itself.

    python -m tests.support.broken_adapters DIR                # all, over the real chat model
    python -m tests.support.broken_adapters DIR --base FOLDER  # untrained ones, over any model

A builder writes one adapter folder over any base: a model folder, or one that is loaded already and
shared (it is handed back as it was). The trained ones are in `tests/support/trained_adapters.py`.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.adapter_making import (
    HEALTHY_UPDATE,
    Base,
    LoadedBase,
    adapted,
    copied,
    edit_tensors,
    lora,
    open_base,
    random_lora,
    save,
    set_update,
)
from tests.support.tiny_models import save_model

HUGE_UPDATE = 0.5
TINY_UPDATE = 1e-7
OTHER_BASE = "Qwen/Qwen2.5-7B-Instruct"
ADDED_TOKEN = "<|ticket|>"

Builder = Callable[..., Path]


def no_op(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """As PEFT initialises it, never trained: B = 0."""
    opened = open_base(base)
    with adapted(opened, lora(), seed=seed) as model:
        return save(model, folder, opened.name)


def not_finite(folder: Path, base: Base, *, seed: int = 1, module: str = "v_proj") -> Path:
    """One NaN in one tensor.

    From v_proj it spreads to every prediction. From q_proj it may not: on a CPU, torch's attention
    can turn the scores that are NaN into ordinary numbers.
    """

    def spoil(tensors: dict[str, Any]) -> dict[str, Any]:
        tensors[next(n for n in sorted(tensors) if f"{module}.lora_B" in n)][0, 0] = float("nan")
        return tensors

    return edit_tensors(random_lora(folder, base, seed=seed), spoil)


def wrong_base(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Trained on a model of the same family and depth, but twice the hidden size."""
    import torch
    from transformers import AutoModelForCausalLM

    opened = open_base(base)
    config = copy.deepcopy(opened.model.config)
    config.hidden_size *= 2
    # What no LoRA tensor depends on is small.
    config.vocab_size, config.intermediate_size = 64, 16
    config.pad_token_id = config.bos_token_id = config.eos_token_id = None
    torch.manual_seed(seed)
    other = AutoModelForCausalLM.from_config(config)
    wide = LoadedBase(model=other, tokenizer=opened.tokenizer, name=OTHER_BASE)
    return random_lora(folder, wide, seed=seed)


def renamed_base(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """The right shapes, but adapter_config.json names another base."""
    opened = open_base(base)
    other = LoadedBase(model=opened.model, tokenizer=opened.tokenizer, name=OTHER_BASE)
    return random_lora(folder, other, seed=seed)


def unbound_keys(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Tensors of modules that the base has not: another architecture's names."""
    return edit_tensors(
        random_lora(folder, base, seed=seed),
        lambda tensors: {
            name.replace(".model.layers.", ".transformer.h."): tensor
            for name, tensor in tensors.items()
        },
    )


def half_missing(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """One module has its lora_A and no lora_B."""

    def drop(tensors: dict[str, Any]) -> dict[str, Any]:
        del tensors[next(name for name in sorted(tensors) if "lora_B" in name)]
        return tensors

    return edit_tensors(random_lora(folder, base, seed=seed), drop)


def huge_update(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Half as large as the weights that it changes."""
    return random_lora(folder, base, seed=seed, ratio=HUGE_UPDATE)


def tiny_update(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Not zero, and too small to matter."""
    return random_lora(folder, base, seed=seed, ratio=TINY_UPDATE)


def rslora(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Scaled by alpha / √r instead of alpha / r."""
    return random_lora(folder, base, seed=seed, use_rslora=True)


def dora(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """A direction as in LoRA, and a trained magnitude per output."""
    import torch
    from peft.tuners.lora import LoraLayer

    opened = open_base(base)
    with adapted(opened, lora(use_dora=True), seed=seed) as model, torch.no_grad():
        set_update(model, HEALTHY_UPDATE)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.lora_magnitude_vector["default"].weight.mul_(1.01)
        return save(model, folder, opened.name)


def rank_pattern(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """q_proj has rank 2, v_proj rank 4 and another alpha."""
    return random_lora(
        folder, base, seed=seed, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 32}
    )


def modules_to_save(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """The output layer is trained in full and saved along."""
    import torch

    opened = open_base(base)
    with adapted(copied(opened), lora(modules_to_save=["lm_head"]), seed=seed) as model:
        set_update(model, HEALTHY_UPDATE)
        with torch.no_grad():
            head = model.get_output_embeddings().modules_to_save["default"].weight
            head.add_(torch.randn_like(head) * head.std() * HEALTHY_UPDATE)
        return save(model, folder, opened.name)


def added_token(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """One new token: its tokenizer, and both embeddings with the rows for it, lie with the adapter.

    A base whose embeddings have spare rows (Qwen) is given one more all the same.
    """
    import torch

    opened = copied(open_base(base))
    torch.manual_seed(seed)  # the new rows are random
    rows = opened.model.get_input_embeddings().num_embeddings
    opened.tokenizer.add_special_tokens({"additional_special_tokens": [ADDED_TOKEN]})
    opened.model.resize_token_embeddings(
        max(len(opened.tokenizer), rows + 1), mean_resizing=False
    )  # fmt: skip
    with adapted(opened, lora(), seed=seed) as model:
        set_update(model, HEALTHY_UPDATE)
        save(model, folder, opened.name, embeddings=True)
    opened.tokenizer.save_pretrained(folder)
    return folder


def ia3(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Not LoRA: learned factors of activations."""
    import torch
    from peft import IA3Config

    opened = open_base(base)
    config = IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with adapted(opened, config, seed=seed) as model, torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ia3_l" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return save(model, folder, opened.name)


def prompt_tuning(folder: Path, base: Base, *, seed: int = 1) -> Path:
    """Not LoRA: four learned vectors before every prompt."""
    from peft import PromptTuningConfig

    opened = open_base(base)
    config = PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    with adapted(opened, config, seed=seed) as model:
        return save(model, folder, opened.name)


UNTRAINED: tuple[Builder, ...] = (
    no_op, not_finite, wrong_base, renamed_base, unbound_keys, half_missing, huge_update,
    tiny_update, rslora, dora, rank_pattern, modules_to_save, added_token, ia3, prompt_tuning,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Make every broken adapter.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path, help="a model folder instead of the real chat model")
    options = parser.parse_args()
    if options.base is not None:
        base, builders = open_base(options.base), UNTRAINED
    else:
        from tests.support.trained_adapters import TRAINED, load_smollm2

        base, builders = load_smollm2(), UNTRAINED + TRAINED
    for builder in builders:
        start = time.perf_counter()
        folder = builder(options.folder / builder.__name__, base)
        print(f"{folder}  {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "base")


def bound(base: Path | Any, adapter: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base) if isinstance(base, Path) else base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of PEFT, and what it says of missing keys
        return PeftModel.from_pretrained(model, str(adapter)).eval()


def ratios(model: Any) -> list[float]:
    """‖ΔW‖/‖W‖ of every adapted module."""
    return [
        float(module.get_delta_weight("default").norm() / module.get_base_layer().weight.norm())
        for module in model.modules()
        if hasattr(module, "get_delta_weight")
    ]
