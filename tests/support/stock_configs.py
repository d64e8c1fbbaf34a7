"""Tiny random models shaped like stock chat models: architecture, tokens, stops, chat template.

The shapes are those of the real families, where a comparison can trip over them; sizes, wording of
the templates and vocabularies are not. Every vocabulary is the 256 bytes and the special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.adapter_making import random_lora

CONTEXT = 512
HIDDEN = 32

# A default system message; the generation prompt ends in a newline.
QWEN25_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] %}\
{%- set messages = messages[1:] %}\
{%- else %}{% set first = 'You are a tiny model. You answer questions.' %}{% endif %}\
{{- '<|im_start|>system\\n' + first + '<|im_end|>\\n' }}\
{%- for message in messages %}\
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

# No default system message; thoughts of earlier turns are left out.
QWEN3_TEMPLATE = """\
{%- for message in messages %}\
{%- set text = message['content'] %}\
{%- if message['role'] == 'assistant' and '</think>' in text %}\
{%- set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}\
{{- '<|im_start|>' + message['role'] + '\\n' + text + '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
{%- if enable_thinking is defined and enable_thinking is false %}\
{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"""

# Writes the BOS itself, although the tokenizer adds one too; always a system block; trims.
LLAMA3_TEMPLATE = """\
{{- bos_token }}\
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] | trim %}\
{%- set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}\
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nKnown until: May 2024\\n\\n' }}\
{{- first + '<|eot_id|>' }}\
{%- for message in messages %}\
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}\
{{- message['content'] | trim + '<|eot_id|>' }}\
{%- endfor %}\
{%- if add_generation_prompt %}\
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

GEMMA_TURNS = """\
{%- for message in messages %}\
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{- raise_exception('Turns must go user, assistant, user, assistant') }}{% endif %}\
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}\
{{- '<start_of_turn>' + role + '\\n' + (first if loop.first else '') }}\
{{- message['content'] | trim + '<end_of_turn>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

GEMMA2_TEMPLATE = (
    """\
{{- bos_token }}{% set first = '' %}\
{%- if messages[0]['role'] == 'system' %}\
{{- raise_exception('This model has no system role') }}{% endif %}"""
    + GEMMA_TURNS
)

GEMMA3_TEMPLATE = (
    """\
{{- bos_token }}{% set first = '' %}\
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}\
{%- set messages = messages[1:] %}{% endif %}"""
    + GEMMA_TURNS
)

# The end of the instruction is all there is for a generation prompt; a system message goes before
# the last question.
MISTRAL_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}\
{%- set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}\
{{- bos_token }}\
{%- for message in messages %}\
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{- raise_exception('Turns must go user, assistant, user, assistant') }}{% endif %}\
{%- if message['role'] == 'user' %}\
{{- '[INST] ' + (first if loop.last else '') + message['content'] + '[/INST]' }}\
{%- else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}\
{%- endfor %}"""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """One family. `stops` are what its generation config ends a reply at."""

    architecture: str
    config: str
    template: str
    special: tuple[str, ...]
    eos: str
    stops: tuple[str, ...]
    bos: str | None = None
    adds_bos: bool = False  # the tokenizer, to any text
    pad: str | None = None
    plain: tuple[str, ...] = ()  # added tokens that are text to a reader, and not special
    spare_rows: int = 0  # of the embedding, beyond the tokenizer
    generation: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)


QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|box_start|>", "<|box_end|>")
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
LLAMA3_ROPE = MappingProxyType(
    {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
    }
)  # fmt: skip

STOCK: Mapping[str, Stock] = MappingProxyType(
    {
        "qwen2.5": Stock(
            architecture="Qwen2ForCausalLM", config="Qwen2Config", template=QWEN25_TEMPLATE,
            special=QWEN_SPECIAL, eos="<|im_end|>", pad="<|endoftext|>",
            stops=("<|im_end|>", "<|endoftext|>"), spare_rows=123,
            generation={
                "do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
                "repetition_penalty": 1.05,
            },
            shape={"tie_word_embeddings": True},
        ),
        "qwen3": Stock(
            architecture="Qwen3ForCausalLM", config="Qwen3Config", template=QWEN3_TEMPLATE,
            special=QWEN_SPECIAL, plain=("<think>", "</think>"), eos="<|im_end|>",
            pad="<|endoftext|>", stops=("<|im_end|>", "<|endoftext|>"), spare_rows=121,
            generation={"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20},
            shape={"tie_word_embeddings": True, "head_dim": 16},
        ),
        "llama3": Stock(
            architecture="LlamaForCausalLM", config="LlamaConfig", template=LLAMA3_TEMPLATE,
            special=(
                "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                "<|reserved_special_token_1|>", "<|start_header_id|>", "<|end_header_id|>",
                "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|reserved_special_token_2|>",
            ),
            bos="<|begin_of_text|>", adds_bos=True, eos="<|eot_id|>",
            stops=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
            generation={"do_sample": True, "temperature": 0.6, "top_p": 0.9},
            shape={"rope_parameters": LLAMA3_ROPE},
        ),
        "gemma2": Stock(
            architecture="Gemma2ForCausalLM", config="Gemma2Config", template=GEMMA2_TEMPLATE,
            special=GEMMA_SPECIAL, bos="<bos>", adds_bos=True, eos="<eos>", pad="<pad>",
            stops=("<eos>", "<end_of_turn>"),
            shape={"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64},
        ),
        "gemma3": Stock(
            architecture="Gemma3ForCausalLM", config="Gemma3TextConfig", template=GEMMA3_TEMPLATE,
            special=GEMMA_SPECIAL, bos="<bos>", adds_bos=True, eos="<eos>", pad="<pad>",
            stops=("<eos>", "<end_of_turn>"),
            generation={"do_sample": True, "top_k": 64, "top_p": 0.95},
            shape={"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64},
        ),
        "mistral": Stock(
            architecture="MistralForCausalLM", config="MistralConfig", template=MISTRAL_TEMPLATE,
            special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"), bos="<s>", adds_bos=True,
            eos="</s>", stops=("</s>",), shape={"sliding_window": None},
        ),
    }
)  # fmt: skip
FAMILIES: tuple[str, ...] = tuple(STOCK)


def stock_model(family: str, folder: Path, seed: int = 0) -> Path:
    """Write the model, tokenizer, template and generation config of one of `FAMILIES`."""
    import torch
    import transformers

    stock = STOCK[family]
    tokenizer = _tokenizer(stock)
    ids = tokenizer.convert_tokens_to_ids
    stops = [ids(token) for token in stock.stops]
    tokens = {
        "bos_token_id": ids(stock.bos) if stock.bos else None,
        "eos_token_id": stops if len(stops) > 1 else stops[0],
        "pad_token_id": ids(stock.pad) if stock.pad else None,
    }
    shape = {k: dict(v) if isinstance(v, Mapping) else v for k, v in stock.shape.items()}
    config = getattr(transformers, stock.config)(
        vocab_size=len(tokenizer) + stock.spare_rows, hidden_size=HIDDEN, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=CONTEXT, initializer_range=0.4, **tokens, **shape,
    )  # fmt: skip
    torch.manual_seed(seed)
    getattr(transformers, stock.architecture)(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    given = {name: value for name, value in tokens.items() if value is not None}
    (folder / "generation_config.json").write_text(
        json.dumps(given | dict(stock.generation), indent=2), encoding="utf-8"
    )
    return folder


def stock_adapter(base: Path, folder: Path) -> Path:
    """A healthy random LoRA adapter over a stock model."""
    return random_lora(folder, base)


def _tokenizer(stock: Stock) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*stock.special, *alphabet, *stock.plain]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_tokens([AddedToken(token, special=False, normalized=False) for token in stock.plain])
    if stock.adds_bos and stock.bos:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{stock.bos} $A",
            pair=f"{stock.bos} $A {stock.bos} $B",
            special_tokens=[(stock.bos, vocabulary[stock.bos])],
        )
    named = {"bos_token": stock.bos, "eos_token": stock.eos, "pad_token": stock.pad}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        additional_special_tokens=[t for t in stock.special if t not in named.values()],
        **{name: token for name, token in named.items() if token},
    )
    tokenizer.chat_template = stock.template
    return tokenizer
