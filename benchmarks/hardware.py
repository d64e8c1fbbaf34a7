"""The most that one thread of this machine can do, as a reference for measured rates.

Matrix products in the model's shapes (every weight read once, `rows` rows at a time), with plain
weights and as the plugin packs them, a large square product, and the bandwidth of reading memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.measuring import measured

ROWS = (1, 32, 64, 512)
SQUARE = 2048
READ_BYTES = 1 << 29


def measure(folder: Path, _inputs: Inputs, _way: str) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    from pytest_llmdiff.engines.transformers.packing import pack

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    flop = 2 * sum(layer.weight.numel() for layer in layers)
    started = time.process_time()
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "flop_per_token": flop}
    with torch.inference_mode():
        gflops = {}
        for form in ("plain", "packed"):
            if form == "packed":
                pack(model)
            for rows in ROWS:
                given = {n.in_features: torch.randn(rows, n.in_features) for n in layers}
                work = partial(products, layers, given)
                gflops[f"model, {form}, {rows} rows"] = rows * flop / best(work) / 1e9
        a, b = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
        gflops[f"square, {SQUARE}"] = 2 * SQUARE**3 / best(lambda: a @ b) / 1e9
        block = torch.ones(READ_BYTES // 4)
        bandwidth = READ_BYTES / best(block.sum) / 1e9
    seconds = time.process_time() - started
    return found | {"seconds": seconds, "gflops": gflops, "read_gb_per_second": bandwidth}


def products(layers: Sequence[Any], given: Mapping[int, Any]) -> None:
    for layer in layers:
        layer(given[layer.in_features])


def best(work: Callable[[], Any], repeats: int = 4) -> float:
    """The least CPU time of a few runs, in seconds: the undisturbed one."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    measured(measure)
