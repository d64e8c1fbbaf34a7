"""What one thread of this machine can do at most, to hold measured rates against.

Products at the model's own shapes (every weight of it read once, `rows` rows at a time), a large
square product, and the bandwidth of reading memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    flop = 2 * sum(weight.numel() for weight in weights)
    started = time.process_time()
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "flop_per_token": flop}
    with torch.inference_mode():
        gflops = {}
        for rows in ROWS:
            inputs_of = {w.shape[1]: torch.randn(rows, w.shape[1]) for w in weights}

            def products(given: dict[int, Any] = inputs_of) -> None:
                for weight in weights:
                    torch.nn.functional.linear(given[weight.shape[1]], weight)

            gflops[f"model, {rows} rows"] = rows * flop / best(products) / 1e9
        a, b = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
        gflops[f"square, {SQUARE}"] = 2 * SQUARE**3 / best(lambda: a @ b) / 1e9
        block = torch.ones(READ_BYTES // 4)
        bandwidth = READ_BYTES / best(block.sum) / 1e9
    seconds = time.process_time() - started
    return found | {"seconds": seconds, "gflops": gflops, "read_gb_per_second": bandwidth}


def best(work: Callable[[], Any], repeats: int = 4) -> float:
    """The least CPU time of a few runs, in seconds: a limit is what nothing disturbed."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    measured(measure)
