"""lm-evaluation-harness over transformers, on a CPU in one thread.

Ways: `lm-eval-base` and `lm-eval-full` generate (`generate_until`) with the base and with the
merged model; `lm-eval-scoring` scores the base's replies under the base (`loglikelihood`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.measuring import Clock, measured

# The fastest of 16, 32 and 64 (35, 26 and 26 CPU-seconds) and of 4, 8, 16 and 32 (19, 19, 19, 22).
BATCH = {"generate": 64, "score": 8}


def measure(folder: Path, inputs: Inputs, way: str) -> dict[str, Any]:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    size = way.removeprefix("lm-eval-")
    scoring = size == "scoring"
    model = folder / (f"merged-{size}" if size == "full" else "base")
    lm = HFLM(
        pretrained=str(model), dtype="float32", device="cpu", add_bos_token=False,
        batch_size=BATCH["score" if scoring else "generate"],
    )  # fmt: skip
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    if scoring:
        items = [
            (("", ""), prompt, reply)
            for prompt, reply in zip(inputs.prompt_ids, inputs.base_replies, strict=True)
        ]
        lm._loglikelihood_tokens(items[:1], disable_tqdm=True)
        clock = Clock()
        scores = lm._loglikelihood_tokens(items, disable_tqdm=True)
        return found | {**clock.taken(), "scores": [score for score, _ in scores]}
    texts = [lm.tok_decode(row, skip_special_tokens=False) for row in inputs.prompt_ids]
    if [lm.tok_encode(text) for text in texts] != inputs.prompt_ids:
        raise SystemExit("lm-eval reads other tokens from the prompts")
    settings = {"until": [], "max_gen_toks": inputs.new_tokens, "do_sample": False}

    def requests(count: int) -> list[Any]:
        return [
            Instance(
                request_type="generate_until", doc={}, arguments=(text, dict(settings)), idx=index
            )
            for index, text in enumerate(texts[:count])
        ]

    lm.generate_until(requests(1), disable_tqdm=True)
    clock = Clock()
    replies = lm.generate_until(requests(len(texts)), disable_tqdm=True)
    return found | {**clock.taken(), "texts": {size: [text.strip() for text in replies]}}


if __name__ == "__main__":
    measured(measure)
