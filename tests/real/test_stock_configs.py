"""The tiny stock models load, generate and render like their families."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.support.stock_configs import FAMILIES, STOCK, stock_adapter, stock_model

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello, you."},
    {"role": "user", "content": "What is 2+2?"},
]
SYSTEM = [{"role": "system", "content": "Be brief."}]

RENDERED = {
    "qwen2.5": (
        "<|im_start|>system\nYou are a tiny model. You answer questions.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello, you.<|im_end|>\n"
        "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen3": (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello, you.<|im_end|>\n"
        "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nKnown until: May 2024\n\n"
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello, you.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhat is 2+2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "gemma2": (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello, you.<end_of_turn>"
        "\n<start_of_turn>user\nWhat is 2+2?<end_of_turn>\n<start_of_turn>model\n"
    ),
    "mistral": "<s>[INST] Hi[/INST] Hello, you.</s>[INST] What is 2+2?[/INST]",
}
RENDERED["gemma3"] = RENDERED["gemma2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every family in a folder of its name, and an adapter over it."""
    folder = tmp_path_factory.mktemp("stock")
    for family in FAMILIES:
        stock_adapter(stock_model(family, folder / family), folder / f"{family}-adapter")
    return folder


def tokenizer(folder: Path, family: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / family)


def model(folder: Path, family: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / family)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_of_its_class_and_answers_a_chat(folder: Path, family: str) -> None:
    import torch

    found, reader = model(folder, family), tokenizer(folder, family)
    assert type(found).__name__ == STOCK[family].architecture
    text = reader.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert text == RENDERED[family]
    ids = reader(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert reader.decode(ids[0]) == text
    with torch.inference_mode():
        logits = found(ids).logits[0, -1]
        output = found.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False,
            pad_token_id=0, temperature=None, top_p=None, top_k=None,
        )  # fmt: skip
    assert logits.isfinite().all()
    assert logits.softmax(-1).max() > 4 / len(reader), "far from uniform"
    assert ids.shape[1] < output.shape[1] <= ids.shape[1] + 6


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_and_stops(folder: Path, family: str) -> None:
    found, reader, stock = model(folder, family), tokenizer(folder, family), STOCK[family]
    assert (reader.bos_token, reader.eos_token, reader.pad_token) == (
        stock.bos, stock.eos, stock.pad
    )  # fmt: skip
    stops = found.generation_config.eos_token_id
    assert reader.convert_ids_to_tokens(stops if isinstance(stops, list) else [stops]) == list(
        stock.stops
    )
    plain = reader("é <|x")["input_ids"]
    assert reader.decode(plain, skip_special_tokens=True) == "é <|x"
    assert (plain[0] == reader.bos_token_id) is stock.adds_bos
    for token in stock.special:
        assert len(reader(token, add_special_tokens=False)["input_ids"]) == 1
        assert token in reader.all_special_tokens
    rows = found.get_input_embeddings().num_embeddings
    assert rows == len(reader) + stock.spare_rows


def test_sampling_that_qwen_asks_for(folder: Path) -> None:
    asked = json.loads((folder / "qwen2.5" / "generation_config.json").read_text("utf-8"))
    reader = tokenizer(folder, "qwen2.5")
    assert asked == {
        "do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
        "repetition_penalty": 1.05,
        "pad_token_id": reader.pad_token_id,
        "eos_token_id": reader.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]),
    }  # fmt: skip
    assert model(folder, "qwen2.5").get_input_embeddings().num_embeddings == 384


def test_thinking_of_qwen3(folder: Path) -> None:
    reader = tokenizer(folder, "qwen3")

    def rendered(chat: list[dict[str, str]], **options: Any) -> str:
        text: str = reader.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, **options
        )
        return text

    on, off = rendered(CHAT, enable_thinking=True), rendered(CHAT, enable_thinking=False)
    assert on == rendered(CHAT)
    assert off == on + "<think>\n\n</think>\n\n"
    thought = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello, you."}
    assert rendered([CHAT[0], thought, CHAT[2]]) == on
    ids = reader("<think>", add_special_tokens=False)["input_ids"]
    assert len(ids) == 1
    assert reader.decode(ids, skip_special_tokens=True) == "<think>"


@pytest.mark.parametrize("family", ["llama3", "gemma2", "gemma3", "mistral"])
def test_tokenising_a_rendered_chat_with_special_tokens_doubles_the_bos(
    folder: Path, family: str
) -> None:
    reader = tokenizer(folder, family)
    ids = reader(RENDERED[family])["input_ids"]
    assert ids[:2] == [reader.bos_token_id] * 2
    assert ids[2] != reader.bos_token_id


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("qwen2.5", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi"),
        ("qwen3", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi"),
        ("llama3", "Known until: May 2024\n\nBe brief.<|eot_id|><|start_header_id|>user"),
        ("gemma3", "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>"),
        ("mistral", "</s>[INST] Be brief.\n\nWhat is 2+2?[/INST]"),
    ],
)
def test_where_a_system_message_goes(folder: Path, family: str, expected: str) -> None:
    text = tokenizer(folder, family).apply_chat_template(
        SYSTEM + CHAT, tokenize=False, add_generation_prompt=True
    )
    assert expected in text
    assert text.count("Be brief.") == 1


@pytest.mark.parametrize(
    ("family", "chat", "reason"),
    [
        ("gemma2", SYSTEM + CHAT, "no system role"),
        ("gemma2", CHAT[:1] * 2, "Turns must go"),
        ("gemma3", CHAT[:1] * 2, "Turns must go"),
        ("mistral", CHAT[:1] * 2, "Turns must go"),
    ],
)
def test_chats_that_a_template_refuses(
    folder: Path, family: str, chat: list[dict[str, str]], reason: str
) -> None:
    from jinja2.exceptions import TemplateError

    with pytest.raises(TemplateError, match=reason):
        tokenizer(folder, family).apply_chat_template(chat, tokenize=False)


def test_mistral_has_no_generation_prompt(folder: Path) -> None:
    reader = tokenizer(folder, "mistral")
    with_prompt, without = (
        reader.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=on)
        for on in (True, False)
    )
    assert with_prompt == without


@pytest.mark.parametrize("family", FAMILIES)
def test_a_healthy_adapter_over_it(folder: Path, family: str) -> None:
    import torch
    from peft import PeftModel

    ids = torch.tensor([[9, 40, 77]])
    base = model(folder, family)
    with torch.inference_mode():
        before = base(ids).logits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations between PEFT and transformers
            tuned = PeftModel.from_pretrained(base, str(folder / f"{family}-adapter"))
        after = tuned(ids).logits
    ratios = [
        float(module.get_delta_weight("default").norm() / module.get_base_layer().weight.norm())
        for module in tuned.modules()
        if hasattr(module, "get_delta_weight")
    ]
    assert len(ratios) == 4
    assert all(0.01 < ratio < 0.05 for ratio in ratios)
    assert (after - before).abs().max() > 1e-3


def test_a_seed_decides_the_weights(folder: Path, tmp_path: Path) -> None:
    files = [
        (place / "model.safetensors").read_bytes()
        for place in (
            folder / "llama3",
            stock_model("llama3", tmp_path / "same"),
            stock_model("llama3", tmp_path / "other", seed=1),
        )
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]
