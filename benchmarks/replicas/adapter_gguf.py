"""A PEFT LoRA adapter of a Llama-like model as llama.cpp reads it.

llama.cpp's own converter is a script of its repository, not of a package. This has what LoRA on the
attention and MLP of a Llama-like model needs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
TENSOR = re.compile(r"layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")


def write_adapter(adapter: Path, file: Path, *, heads: int, kv_heads: int) -> None:
    """Write an adapter folder as GGUF. Raises ValueError: a tensor is of another kind."""
    from gguf import GGUFWriter
    from safetensors import safe_open

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(str(file), "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    with safe_open(adapter / "adapter_model.safetensors", "np") as tensors:
        for name in tensors.keys():  # noqa: SIM118
            found = TENSOR.search(name)
            if found is None or found[2] not in NAMES:
                raise ValueError(f"{name} is no LoRA of a Llama-like model")
            weight = tensors.get_tensor(name).astype("float32")
            if found[3] == "B":
                weight = permuted(weight, {"attn_q": heads, "attn_k": kv_heads}, NAMES[found[2]])
            writer.add_tensor(
                f"blk.{found[1]}.{NAMES[found[2]]}.weight.lora_{found[3].lower()}", weight
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(weight: Any, heads: dict[str, int], name: str) -> Any:
    """Rows of queries and keys in llama.cpp's order: it rotates neighbouring rows of a head, where
    transformers rotates the first half with the second."""
    if name not in heads:
        return weight
    rows, columns = weight.shape
    split = weight.reshape(heads[name], 2, rows // heads[name] // 2, columns)
    return split.swapaxes(1, 2).reshape(rows, columns).copy()
