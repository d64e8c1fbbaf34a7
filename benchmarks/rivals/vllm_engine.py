"""vLLM inside this process: its CPU build in one thread, or its build for CUDA.

Ways: `vllm-base` and `vllm-SIZE` (adapter merged into the weights) are engines over one model;
`vllm-lora` is one engine with both the base's and the adapter's requests in one call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.environments import FOLDER
from benchmarks.inputs import Inputs
from benchmarks.measuring import Clock, measured

# The fastest settings tried: compiled is 7 to 10 % faster than eager (compiling happens at load,
# off the clock), 32 is the smallest block that its CPU attention takes (128 is 2 % slower), all 64
# prompts at once beat 32 by 5 %.
SETTINGS: dict[str, Any] = {
    "enforce_eager": False,
    "enable_prefix_caching": True,
    "block_size": 32,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 2048,
    "max_model_len": 256,
    "generation_config": "vllm",
    "disable_log_stats": True,
}
# With LoRA, small steps without compiling are faster (8192 tokens per step take 1.7 times as long
# as 256). Its CPU kernels read the last adapter slot for requests without an adapter: there must be
# one more slot than adapters, or the adapter answers the base's requests.
LORA: dict[str, Any] = {
    "enable_lora": True,
    "max_loras": 2,
    "max_lora_rank": 8,
    "enforce_eager": True,
    "max_num_seqs": 128,
    "max_num_batched_tokens": 256,
}
# On a GPU the compiled engine's own steps and blocks: none of the above was measured there.
LORA_ON_GPU: dict[str, Any] = {
    "enable_lora": True, "max_loras": 1, "max_lora_rank": 8, "max_num_seqs": 128,
}  # fmt: skip
OF_CPU = ("block_size", "max_num_batched_tokens")
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # The number of threads is OMP_NUM_THREADS; the system places the single thread.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    # This release cannot reload ahead-of-time compiled code; the ordinary cache works.
    "VLLM_USE_AOT_COMPILE": "0",
    "VLLM_CACHE_ROOT": str(FOLDER / "vllm" / "cache"),
}


def measure(folder: Path, inputs: Inputs, way: str) -> dict[str, Any]:
    os.environ.update(ENVIRONMENT)
    import torch
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    size = way.removeprefix("vllm-")
    lora = size == "lora"
    model = folder / ("base" if size in ("base", "lora") else f"merged-{size}")
    llm = LLM(model=str(linked(model)), **settings(inputs, lora=lora))
    adapter = LoRARequest("tuned", 1, str(folder / "adapter-full")) if lora else None

    def run(rows: list[list[int]], new_tokens: int) -> list[list[int]]:
        sides = [None, adapter] if lora else [None]
        outputs = llm.generate(
            [{"prompt_token_ids": row} for _ in sides for row in rows],
            SamplingParams(temperature=0.0, max_tokens=new_tokens, stop_token_ids=[inputs.stop_id]),
            lora_request=[side for side in sides for _ in rows] if lora else None,
            use_tqdm=False,
        )
        return [list(output.outputs[0].token_ids) for output in outputs]

    run(inputs.prompt_ids[:2], 8)
    llm.reset_prefix_cache()
    clock = Clock()
    replies = run(inputs.prompt_ids, inputs.new_tokens)
    taken = clock.taken()
    count = len(inputs.prompts)
    return {
        **taken,
        "threads": torch.get_num_threads(),
        "replies": {"base": replies[:count]} | ({"full": replies[count:]} if lora else {})
        if size in ("base", "lora")
        else {size: replies},
    }


def settings(inputs: Inputs, *, lora: bool) -> dict[str, Any]:
    """The engine's arguments on the device of the inputs."""
    chosen = {"dtype": inputs.dtype, **SETTINGS}
    if inputs.device == "cpu":
        return chosen | (LORA if lora else {})
    found = {name: value for name, value in chosen.items() if name not in OF_CPU}
    return found | (LORA_ON_GPU if lora else {})


def linked(model: Path) -> Path:
    """The same path for every model: vLLM looks up its compiled code by path, and compiling takes
    longer than everything measured."""
    link = FOLDER / "vllm" / "model"
    link.unlink(missing_ok=True)
    link.symlink_to(model)
    return link


if __name__ == "__main__":
    measured(measure)
