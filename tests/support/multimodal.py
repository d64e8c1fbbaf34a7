"""Tiny random multimodal models of several families, and adapters for them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from tests.support.tiny_models import CONTEXT, save_tokenizer

TEXT = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": CONTEXT,
    "initializer_range": 0.4, "bos_token_id": None,
}  # fmt: skip
QWEN_EYE = {
    "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32,
}  # fmt: skip
EYE = {
    "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip


def _turns(*sections: int) -> dict[str, Any]:
    return {"rope_type": "default", "mrope_section": [*sections], "rope_theta": 1e4}


# By model type: additions to the text model's configuration, the vision model's, and others.
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "qwen2_5_vl": ({"rope_parameters": _turns(1, 1, 2)}, QWEN_EYE, {}),
    "qwen3_vl": (
        {"rope_parameters": _turns(2, 1, 1)}, QWEN_EYE | {"deepstack_visual_indexes": [0]}, {},
    ),
    "qwen3_5": (
        {
            "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
            "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        },
        QWEN_EYE, {},
    ),
    "gemma3": (
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}, EYE,
        {"mm_tokens_per_image": 4},
    ),
    "mistral3": ({"model_type": "mistral"}, {"model_type": "pixtral", **EYE}, {}),
    "llava": (
        {"model_type": "llama"}, {"model_type": "clip_vision_model", "projection_dim": 32, **EYE},
        {},
    ),
}  # fmt: skip


def save_multimodal(family: str, folder: Path) -> Path:
    """A random model as its family saves it, with a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    tokenizer = save_tokenizer(folder)
    text, eye, others = FAMILIES[family]
    ids = {
        "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0,
    }  # fmt: skip
    config = AutoConfig.for_model(
        family, text_config={**TEXT, **text, **ids}, vision_config=eye, **others
    )
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    return folder


def save_adapter_of(auto_class: Any, folder: Path, base: Path) -> Path:
    """A random LoRA adapter over the model that a class of transformers loads from `base`."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = auto_class.from_pretrained(base)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        model = get_peft_model(model, config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.3)
        model.peft_config["default"].base_model_name_or_path = "tests/tiny"
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder
