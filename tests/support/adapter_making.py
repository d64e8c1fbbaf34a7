"""Making adapters and merged models with PEFT in a test, over a base that may be shared."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEALTHY_UPDATE = 0.02  # ‖ΔW‖/‖W‖ of each module, about what a good fine-tuning leaves


@dataclass(frozen=True, kw_only=True)
class LoadedBase:
    """A base in memory and the name that adapters over it give it."""

    model: Any
    tokenizer: Any
    name: str


Base = Path | LoadedBase


def open_base(base: Base) -> LoadedBase:
    """Load a model folder; what is loaded already is used as it is."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if isinstance(base, LoadedBase):
        return base
    return LoadedBase(
        model=AutoModelForCausalLM.from_pretrained(base),
        tokenizer=AutoTokenizer.from_pretrained(base),
        name=str(base),
    )


def lora(**changes: Any) -> Any:
    from peft import LoraConfig

    values = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    return LoraConfig(task_type="CAUSAL_LM", **(values | changes))


@contextmanager
def adapted(base: LoadedBase, config: Any, *, seed: int) -> Iterator[Any]:
    """The base under a fresh adapter, and afterwards the base as it was."""
    import torch
    from peft import get_peft_model
    from peft.tuners.tuners_utils import BaseTuner

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        model = get_peft_model(base.model, config)
        try:
            yield model
        finally:
            if isinstance(model.base_model, BaseTuner):  # prompt tuning changes no module
                model.unload()
            base.model.requires_grad_(True).eval()


def save(model: Any, folder: Path, name: str, *, embeddings: bool = False) -> Path:
    model.peft_config["default"].base_model_name_or_path = name
    # Left to itself PEFT asks the hub whether the vocabulary was changed.
    model.save_pretrained(folder, save_embedding_layers=embeddings)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    return folder


def set_update(model: Any, ratio: float) -> None:
    """Give every LoRA module a random B with ‖ΔW‖/‖W‖ = `ratio`."""
    import torch
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            update = module.lora_B["default"].weight
            with torch.no_grad():
                update.normal_(0, 1)
                reached = module.get_delta_weight("default").norm()
                update.mul_(ratio * module.get_base_layer().weight.norm() / reached)


def copied(base: LoadedBase) -> LoadedBase:
    """A base of one's own: training embeddings or resizing them cannot be undone by PEFT."""
    return LoadedBase(
        model=copy.deepcopy(base.model), tokenizer=copy.deepcopy(base.tokenizer), name=base.name
    )


def random_lora(
    folder: Path, base: Base, *, seed: int = 1, ratio: float = HEALTHY_UPDATE, **changes: Any
) -> Path:
    """A healthy LoRA adapter; `changes` go into its LoraConfig."""
    opened = open_base(base)
    with adapted(opened, lora(**changes), seed=seed) as model:
        set_update(model, ratio)
        return save(model, folder, opened.name)


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Rewrite the saved tensors of an adapter."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def merged(adapter: Path, folder: Path, base: Base, *, dtype: str = "float32") -> Path:
    """The base with an adapter merged into it, as a full model with its tokenizer."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    opened = copied(open_base(base))
    if (adapter / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(adapter)
        if len(tokenizer) > opened.model.get_input_embeddings().num_embeddings:
            opened.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    else:
        tokenizer = opened.tokenizer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        whole = PeftModel.from_pretrained(opened.model, str(adapter)).merge_and_unload()
    return saved(LoadedBase(model=whole, tokenizer=tokenizer, name=opened.name), folder, dtype)


def saved(base: LoadedBase, folder: Path, dtype: str = "float32") -> Path:
    """A full model with its tokenizer, as a folder."""
    import torch

    # transformers refuses to save what came from a GGUF file, so the weights move to a model that
    # did not; "meta" spares the time of a random initialisation.
    with torch.device("meta"):
        fresh = type(base.model)(copy.deepcopy(base.model.config))
    fresh.load_state_dict(base.model.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = base.model.generation_config
    fresh.to(getattr(torch, dtype)).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder
