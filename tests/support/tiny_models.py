"""Real transformers models, tokenizers and adapters, small enough to be made in a test."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
CONTEXT = 192


def save_tokenizer(folder: Path, *, template: str | None = CHATML) -> Any:
    """A byte-level BPE tokenizer without merges: every text is readable and round-trips."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token="<unk>", additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_model(
    folder: Path,
    *,
    seed: int = 0,
    template: str | None = CHATML,
    generation: dict[str, Any] | None = None,
    hidden: int = 48,
    layers: int = 2,
    groups: int = 2,
) -> Path:
    """A random Llama with two layers of four heads, whose logits are far from uniform."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = save_tokenizer(folder, template=template)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=groups,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None, pad_token_id=0,
        initializer_range=0.4,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    return folder


def save_adapter(
    folder: Path,
    base: Path,
    *,
    seed: int = 1,
    scale: float = 1.0,
    modules: Sequence[str] = ("q_proj", "v_proj"),
) -> Path:
    """A LoRA adapter with random A and B; at `scale` 0 it is a no-op."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=[*modules], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
        model = get_peft_model(model, lora)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.3).mul_(scale)
        model.peft_config["default"].base_model_name_or_path = "tests/tiny"
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder


def llamafactory_files(folder: Path) -> None:
    """Beside an adapter, what LLaMA-Factory writes: tokenizer, template, card and traces."""
    save_tokenizer(folder)
    (folder / "README.md").write_text(
        "---\nlibrary_name: peft\ntags:\n- llama-factory\n- lora\n---\n", encoding="utf-8"
    )
    log = [
        {"current_steps": step, "total_steps": 2, "loss": 2.0 / step, "lr": 1e-4} for step in (1, 2)
    ]
    (folder / "trainer_log.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in log), encoding="utf-8"
    )
    state = {"global_step": 2, "max_steps": 2, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "all_results.json").write_text('{"epoch": 1.0}', encoding="utf-8")
    (folder / "training_args.bin").write_bytes(b"\x80\x02a pickle that nothing may open")


def save_gguf(
    file: Path, *, seed: int = 0, tied: bool = True, template: str | None = CHATML
) -> Path:
    """A random Llama with two layers as a GGUF file, its matrices in 8-bit blocks."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, TokenType
    from gguf.quants import quantize
    from tokenizers import pre_tokenizers

    hidden, inner, layers, heads, groups = 64, 96, 2, 4, 2
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]  # one merge at least
    kinds = [TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in tokens]
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(0)
    if template is not None:
        writer.add_chat_template(template)
    draw = np.random.default_rng(seed)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = draw.normal(0, 0.4, (rows, columns)).astype(np.float32)
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{name}.weight", quantize(values, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", draw.normal(1, 0.1, hidden).astype(np.float32))

    matrix("token_embd", len(tokens), hidden)
    for layer in range(layers):
        for name, rows, columns in (
            ("attn_q", hidden, hidden), ("attn_k", hidden * groups // heads, hidden),
            ("attn_v", hidden * groups // heads, hidden), ("attn_output", hidden, hidden),
            ("ffn_gate", inner, hidden), ("ffn_up", inner, hidden), ("ffn_down", hidden, inner),
        ):  # fmt: skip
            matrix(f"blk.{layer}.{name}", rows, columns)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
    norm("output_norm")
    if not tied:
        matrix("output", len(tokens), hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
