"""The same work in a script that uses transformers, without the plugin.

Ways: `loop` (one `generate` call per prompt and model), `padded` (left-padded batches, longest
first), both with two loaded models; `base` (padded, through the base alone); `kl-SIZE`, the
full-vocabulary KL of the base and the merged model on the base's replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs, generate, longest_first
from benchmarks.measuring import Clock, measured

BATCH = 64


def load(folder: Path, inputs: Inputs, *, adapter: Path | None = None) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, inputs.dtype))
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval().to(inputs.device)


def measure(folder: Path, inputs: Inputs, way: str) -> dict[str, Any]:
    import torch

    if way.startswith("kl-"):
        found = divergences(folder, inputs, way.removeprefix("kl-"))
    else:
        found = replies(folder, inputs, way)
    return found | {"threads": torch.get_num_threads()}


def replies(folder: Path, inputs: Inputs, way: str) -> dict[str, Any]:
    sides = {"base": load(folder / "base", inputs)}
    if way != "base":
        sides["full"] = load(folder / "base", inputs, adapter=folder / "adapter-full")
    for model in sides.values():
        generate(model, inputs.prompt_ids[:1], inputs.pad_id, inputs.stop_id)
    clock = Clock()
    found = {
        side: longest_first(
            model,
            inputs.prompt_ids,
            inputs.pad_id,
            inputs.stop_id,
            batch=1 if way == "loop" else BATCH,
        )
        for side, model in sides.items()
    }
    return clock.taken() | {"replies": found}


def divergences(folder: Path, inputs: Inputs, size: str) -> dict[str, Any]:
    base, tuned = (load(folder / name, inputs) for name in ("base", f"merged-{size}"))
    divergence_values(base, tuned, inputs.prompt_ids[:1], inputs.base_replies[:1])
    clock = Clock()
    values = divergence_values(base, tuned, inputs.prompt_ids, inputs.base_replies)
    return clock.taken() | {"kl": {size: values}}


# Sequences per forward pass, and rows whose logits of both models are held at once: the fastest
# of 4 to 32 and of 32 to 512.
SEQUENCES = 8
ROWS = 128
CACHED = 16


def divergence_values(
    base: Any, tuned: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]
) -> list[float]:
    """Mean KL(base‖tuned) of each reply, in nats per token.

    The prompts' common prefix runs once. Sequences of similar length are padded on the right, where
    no token can see the padding, so attention needs no mask for it. The output layer runs only on
    the rows that predict a token of the reply.
    """
    import torch

    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]) - len(replies[i]))
    shared = common_length([prompt[:-1] for prompt in prompts])
    found: dict[int, float] = {}
    with torch.inference_mode():
        heads = [prefix_values(model, prompts[0][:shared]) for model in (base, tuned)]
        for start in range(0, len(order), SEQUENCES):
            chunk = order[start : start + SEQUENCES]
            rows = [[*prompts[i][shared:], *replies[i]][:-1] for i in chunk]
            width = max(map(len, rows))
            padded = [row + [0] * (width - len(row)) for row in rows]
            ids = torch.tensor(padded, device=base.device)
            at = [
                place * width + column
                for place, i in enumerate(chunk)
                for column in range(len(prompts[i]) - shared - 1, len(rows[place]))
            ]
            ours, theirs = (
                hidden_states(model, ids, head)[at]
                for model, head in zip((base, tuned), heads, strict=True)
            )
            kl: Any = torch.cat(
                [
                    row_divergence(
                        base.lm_head(ours[first : first + ROWS]),
                        tuned.lm_head(theirs[first : first + ROWS]),
                    )
                    for first in range(0, len(at), ROWS)
                ]
            )
            means = [part.mean().item() for part in kl.split([len(replies[i]) for i in chunk])]
            found.update(zip(chunk, means, strict=True))
    return [found[i] for i in range(len(prompts))]


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix, in tokens."""
    first, last = min(map(list, rows)), max(map(list, rows))
    return next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(last)),
    )


def prefix_values(model: Any, prefix: Sequence[int]) -> list[tuple[Any, Any]]:
    """Keys and values of the prefix, by layer; none if it is empty."""
    import torch

    if not prefix:
        return []
    ids = torch.tensor([list(prefix)], device=model.device)
    cache = model.model(input_ids=ids, use_cache=True).past_key_values
    return [(layer.keys, layer.values) for layer in cache.layers]


def hidden_states(model: Any, ids: Any, head: list[tuple[Any, Any]]) -> Any:
    """Last hidden states `[sequences * columns, width]` of the tokens after the prefix."""
    from transformers import DynamicCache

    layers = [tuple(value.expand(len(ids), -1, -1, -1) for value in values) for values in head]
    cache = DynamicCache(layers) if layers else None
    output = model.model(input_ids=ids, past_key_values=cache, use_cache=cache is not None)
    return output.last_hidden_state.flatten(0, 1)


def row_divergence(base: Any, tuned: Any) -> Any:
    """KL of each row in float32, from logits `[rows, vocabulary]`.

    On a CPU a few rows at a time, so that intermediate results stay in the processor's cache.
    """
    import torch

    parts = []
    step = CACHED if base.device.type == "cpu" else max(len(base), 1)
    for first in range(0, len(base), step):
        p, q = (side[first : first + step].float().log_softmax(-1) for side in (base, tuned))
        parts.append(torch.linalg.vecdot(p.exp(), p - q))
    return torch.cat(parts)


if __name__ == "__main__":
    measured(measure)
