"""llama.cpp on the GGUF file itself with its 4-bit weights: different replies, base only."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.measuring import Clock, measured

SLOTS = 64
CONTEXT = 160


def measure(_folder: Path, inputs: Inputs, _way: str) -> dict[str, Any]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = inputs.gguf
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.n_batch = params.n_ubatch = 2048
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)

    def ask(row: list[int], new_tokens: int) -> tuple[str, int]:
        answer = server.handle_completions(
            {
                "prompt": row, "n_predict": new_tokens, "temperature": 0.0, "top_k": 1,
                "cache_prompt": True,
            }
        )  # fmt: skip
        return answer["choices"][0]["text"], answer["usage"]["completion_tokens"]

    ask(inputs.prompt_ids[0], 8)
    replies: list[tuple[str, int]] = [("", 0)] * len(inputs.prompt_ids)

    def take(index: int) -> None:
        replies[index] = ask(inputs.prompt_ids[index], inputs.new_tokens)

    threads = [threading.Thread(target=take, args=(index,)) for index in range(len(replies))]
    clock = Clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = clock.taken()
    return {
        **taken,
        "threads": params.cpuparams.n_threads,
        "tokens": sum(count for _, count in replies),
        "texts": {"quantized": [text for text, _ in replies]},
    }


if __name__ == "__main__":
    measured(measure)
