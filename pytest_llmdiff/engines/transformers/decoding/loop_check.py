"""Tries the decode loop on a model: whether it works, and how far rounding moves the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.transformers.decoding.batch_size import is_out_of_memory
from pytest_llmdiff.engines.transformers.decoding.drafts import Drafts
from pytest_llmdiff.engines.transformers.decoding.forward import Forward
from pytest_llmdiff.engines.transformers.decoding.kv_cache import KVCache
from pytest_llmdiff.engines.transformers.decoding.loop import Decoder
from pytest_llmdiff.engines.transformers.weights import input_device
from pytest_llmdiff.errors import ModelError

# How far a token's logit may be below the best one of a plain pass: rounding can flip near-ties.
SHORTFALL = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 6e-2}
# Size of the noise measurement. A longer run exceeds the largest of these few hundred differences,
# but thousands of tokens did not exceed twice that (docs/performance.md).
NOISE_ROWS, NOISE_PROMPT, NOISE_STEPS = 8, 24, 8
NOISE_FACTOR = 2.0
TOP = 10  # only the likeliest tokens can be tied


@dataclass(frozen=True, kw_only=True)
class LoopCheck:
    """The result for one model. The store has it under these names.

    `unserved` is the reason why the decode loop cannot run the model, or None; `plain` is as for
    `Forward`; `tolerance` is the difference of two logits (nats) that rounding alone can make.
    """

    unserved: str | None
    plain: bool = False
    tolerance: float = 0.0


def check_loop(model: Any) -> LoopCheck:
    """Decode a few rows that start together, wait, join and have drafts. Their tokens must be the
    likeliest ones of a plain forward pass. Models that fail (recurrent states, unusual masks) are
    run by `generate`.

    Raises:
        ModelError: memory runs out, which says nothing about the model.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = [(7 * number + 3) % rows for number in range(16)]
    prompts = [ids[:9], [*ids[:6], *ids[2:4]], [*ids[:6], *ids[9:16]]]
    drafts = Drafts(replies=[ids[9:12], [], []])
    decoder = Decoder(
        prompts, sampling=Sampling(max_new_tokens=4), keys=["0" * 12] * 3, stop_ids=(), slots=2,
        drafts=drafts, keep_states=True, plain=False,
    )  # fmt: skip
    worst, plain = 0.0, True
    allowed = SHORTFALL.get(str(model.dtype).removeprefix("torch."), SHORTFALL["bfloat16"])
    try:
        while not decoder.done:
            for row in decoder.advance(model):
                logits = _plain_logits(model, [*prompts[row.index], *row.tokens])
                logits = logits[len(prompts[row.index]) - 1 : -1]
                worst = max(worst, _shortfall(logits, row.tokens))
                plain = plain and _is_plain(model, row.states, logits, allowed)
        if not worst <= allowed:
            return LoopCheck(unserved="its tokens are not those of a plain forward pass")
        return LoopCheck(unserved=None, plain=plain, tolerance=NOISE_FACTOR * _noise(model, rows))
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ModelError(
                "memory runs out as the model reads a few tokens; try --llmdiff-quantization or a "
                f"larger device ({str(error).partition(chr(10))[0]})"
            ) from error
        reason = str(error).splitlines()[0] if str(error) else ""
        return LoopCheck(unserved=f"{type(error).__name__}: {reason}")


def window_of(model: Any) -> int | None:
    """The attention window in tokens, None where the model has none. Sequences must fit in it, as
    the decode loop lets every token attend to all before it."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or getattr(
        config, "attention_chunk_size", None
    )
    return int(window) if window else None


def _plain_logits(model: Any, ids: Sequence[int]) -> Any:
    import torch

    row = torch.tensor([list(ids)], device=input_device(model))
    output = model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False)
    return output.logits[0].float()


def _shortfall(logits: Any, said: Sequence[int]) -> float:
    """The largest distance of a token's logit below the best one, as a share of the distance from
    the best to the mean. Logits are `[tokens, vocabulary]`; infinite where they are not finite."""
    import torch

    best = logits.max(-1).values
    own = logits.gather(-1, torch.tensor(said, device=logits.device)[:, None])[:, 0]
    worst = float(((best - own) / (best - logits.mean(-1)).clamp(min=1e-6)).max())
    return worst if math.isfinite(worst) else math.inf


def _is_plain(model: Any, states: Sequence[Any], logits: Any, allowed: float) -> bool:
    """Whether the output layer alone turns hidden states into logits."""
    import torch

    # In a model that is spread over devices, output layer and logits may be on different ones.
    found = Forward(model).logits(torch.stack(list(states))).float().to(logits.device)
    if found.shape != logits.shape:
        return False
    scale = logits.abs().max().clamp(min=1e-6)
    return bool((found - logits).abs().max() <= allowed * scale)


def _noise(model: Any, rows: int) -> float:
    """The largest change of the difference of two likely tokens' logits by the shape of the passes:
    the same tokens are run in one pass, and one by one."""
    import torch

    length = NOISE_PROMPT + NOISE_STEPS
    feeds = [
        [(31 * row + 17 * place + 5 * row * place + 3) % rows for place in range(length)]
        for row in range(NOISE_ROWS)
    ]
    forward = Forward(model)
    steps = range(NOISE_PROMPT, length)
    wanted = [(row, place) for row in range(NOISE_ROWS) for place in steps]
    _, whole = forward(KVCache(NOISE_ROWS, length), 0, feeds, [0] * NOISE_ROWS, wanted)
    cache = KVCache(NOISE_ROWS, length)
    heads = [feed[:NOISE_PROMPT] for feed in feeds]
    forward(cache, 0, heads, [0] * NOISE_ROWS, [(0, 0)])
    single = []
    for place in steps:
        ends = [(row, 0) for row in range(NOISE_ROWS)]
        tokens = [[feed[place]] for feed in feeds]
        _, logits = forward(cache, 0, tokens, [place] * NOISE_ROWS, ends)
        single.append(logits)
    whole = whole.float().view(NOISE_ROWS, NOISE_STEPS, -1)
    change = torch.stack(single, 1).float() - whole
    change = change.gather(-1, whole.topk(min(TOP, whole.shape[-1]), -1).indices)
    noise = float((change.amax(-1) - change.amin(-1)).max())
    return noise if math.isfinite(noise) else 0.0
