"""The same prompts through a base model and its tuned version: the plugin and its alternatives.

    python benchmarks/pairs.py --install vllm,lm-eval,llama-cpp     (once; several GB)
    python benchmarks/pairs.py --json pairs.json
    python benchmarks/pairs.py --device cuda --dtype bfloat16 --install vllm-cuda    (on a GPU)
    python benchmarks/pairs.py --device cuda --dtype bfloat16 --json pairs.json

64 short chat prompts, at most 48 new tokens, greedy, float32, one thread. Every method runs in its
own process, in turns, for several rounds; engines that are not installed are left out. CPU time is
that of the process and its workers from the first request to the last result, after loading and a
short warm-up; memory is the peak of the whole process. Nothing is kept between rounds. The ratios
are medians over rounds of ratios within a round; larger is better for the plugin, except for
`overhead` and `peak_vs_base`:

  vs_loop, vs_padded    against one `generate` call per prompt, and against padded batches
  replies_vs_vllm       replies of both models, against two vLLM engines (base, merged adapter)
  replies_vs_vllm_lora  the same, against one vLLM engine with LoRA requests
  pair_vs_vllm_SIZE     replies of both and the full-vocabulary KL, against two vLLM engines
                        followed by batched teacher forcing; the full adapter, at 10 % and 2 %
  replies_vs_lm_eval    replies of both, against `generate_until` (base, merged adapter)
  scoring_vs_lm_eval    scoring given replies under one model, against `loglikelihood`
  kept_states           a second adapter's replies and KL, with the base's replies in the store but
                        not its states, against with both
  overhead              CPU time of the whole pytest run over that of the engines alone
  peak_vs_base          the plugin's peak memory over that of padded batches through the base alone

With `--device cuda` all methods run on the GPU, and tables and ratios are of wall time, which
counts there; the GPU is waited for before a clock is read. `hardware`, lm-eval and llama.cpp are
left out: they are set up for a CPU. The file of `--json` names the machine.

The module that `WAYS` names for a method describes it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# As a script, Python would search only this file's folder.
sys.path.insert(0, str(ROOT))

from benchmarks import environments  # noqa: E402
from benchmarks.inputs import SIZES  # noqa: E402
from benchmarks.measuring import ONE_THREAD  # noqa: E402
from benchmarks.ratios import agreement, medians, ratios  # noqa: E402

# Method: the module that measures it, and its environment if not this interpreter's.
WAYS: dict[str, tuple[str, str | None]] = {
    "hardware": ("hardware", None),
    "plugin-replies": ("through_plugin", None),
    "bare": ("through_plugin", None),
    "padded": ("by_hand", None),
    "base": ("by_hand", None),
    "loop": ("by_hand", None),
    "vllm-base": ("rivals.vllm_engine", "vllm"),
    **{f"vllm-{size}": ("rivals.vllm_engine", "vllm") for size in SIZES},
    "vllm-lora": ("rivals.vllm_engine", "vllm"),
    **{f"kl-{size}": ("by_hand", None) for size in SIZES},
    **{f"plugin-pair-{size}": ("through_plugin", None) for size in SIZES},
    "plugin-second": ("through_plugin", None),
    "plugin-second-pass": ("through_plugin", None),
    "plugin-scoring": ("through_plugin", None),
    "lm-eval-scoring": ("rivals.lm_eval_harness", "lm-eval"),
    "lm-eval-base": ("rivals.lm_eval_harness", "lm-eval"),
    "lm-eval-full": ("rivals.lm_eval_harness", "lm-eval"),
    "llama-cpp": ("rivals.llama_cpp", "llama-cpp"),
}

CPU_ALONE = ("hardware", "lm-eval", "llama-cpp")  # methods, or their first words
DTYPES = ("float32", "bfloat16")


def environment(way: str, device: str) -> str | None:
    """The name of a method's environment; None if it is this interpreter's."""
    name = WAYS[way][1]
    return "vllm-cuda" if name == "vllm" and device != "cpu" else name


def selected(names: str | None, device: str = "cpu") -> list[str]:
    """The methods with these names or first words; by default all that can run here.

    Raises:
        SystemExit: no method has that name.
    """
    able = []
    for way in WAYS:
        env = environment(way, device)
        left_out = device != "cpu" and any(_named(way, name) for name in CPU_ALONE)
        if not left_out and (env is None or environments.python(env)):
            able.append(way)
    if names is None:
        return able
    wanted = names.split(",")
    for name in wanted:
        if not any(_named(way, name) for way in WAYS):
            raise SystemExit(f"--ways {name}: no such way; there are {', '.join(WAYS)}")
    return [way for way in able if any(_named(way, name) for name in wanted)]


def _named(way: str, name: str) -> bool:
    return way == name or way.startswith(f"{name}-")


def run(way: str, folder: Path, logs: Path, device: str = "cpu") -> dict[str, Any]:
    """Runs one method in its own process, with one thread.

    Raises:
        SystemExit: it failed; its output is in `logs`.
    """
    module, name = WAYS[way][0], environment(way, device)
    python = sys.executable if name is None else environments.python(name)
    result, log = folder / "result.json", logs / f"{way}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(
            [str(python), "-m", f"benchmarks.{module}", folder, way, result],
            env=surroundings(), cwd=ROOT, stdout=output, stderr=output, check=False,
        ).returncode  # fmt: skip
    if code != 0:
        raise SystemExit(f"{way} ended with {code}: see {log}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    if device == "cpu" and found["threads"] != 1:
        raise SystemExit(f"{way} ran in {found['threads']} threads: see {log}")
    return found


def require(device: str) -> None:
    """Refuse a device that is not here.

    Raises:
        SystemExit: with what to do.
    """
    if device == "cpu":
        return
    if device != "cuda":
        raise SystemExit(
            f"--device {device}: give cpu or cuda; CUDA_VISIBLE_DEVICES says which of several"
        )
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(f"--device {device}: torch finds no CUDA device here; run it on a GPU")


def time_on(device: str) -> str:
    """The time that counts: on a GPU, what the CPU does is not the work."""
    return "seconds" if device == "cpu" else "wall_seconds"


def surroundings() -> dict[str, str]:
    """Environment variables of every measuring process."""
    return os.environ | ONE_THREAD | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def table(rounds: Sequence[Mapping[str, Mapping[str, Any]]], device: str = "cpu") -> str:
    """Time and memory of each method, as Markdown; of a GPU wall time, and its memory too."""
    on_gpu = device != "cpu"
    lines = ["| way | CPU-seconds | tokens per CPU-second | peak memory |", "|---|---|---|---|"]
    if on_gpu:
        heads = ("way", "seconds", "tokens per second", "CPU-seconds", "peak memory", "of the GPU")
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for way in rounds[0]:
        if way == "hardware":
            continue
        results = [r[way] for r in rounds]
        cpu = statistics.median(result["seconds"] for result in results)
        seconds = statistics.median(r["wall_seconds"] for r in results) if on_gpu else cpu
        peak = statistics.median(result["peak_mb"] for result in results)
        sides = results[0].get("replies", {}).values()
        tokens = results[0].get("tokens") or sum(len(reply) for side in sides for reply in side)
        # With the KL, a rate of reply tokens would be meaningless.
        rate = f"{tokens / seconds:.0f}" if tokens and "kl" not in results[0] else ""
        if on_gpu:
            held = statistics.median(result.get("gpu_peak_mb", 0.0) for result in results)
            cells = f"{seconds:.2f} | {rate} | {cpu:.1f} | {peak:.0f} MB | {held:.0f} MB"
        else:
            cells = f"{seconds:.1f} | {rate} | {peak:.0f} MB"
        lines.append(f"| {way} | {cells} |")
    return "\n".join(lines)


def limits(rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """The most that one thread can do, the best of all rounds."""
    found = [r["hardware"] for r in rounds if "hardware" in r]
    if not found:
        return ""
    flop = found[0]["flop_per_token"] / 1e6
    lines = [f"one token takes {flop:.0f} MFLOP of products (attention's own not counted)"]
    for shape in found[0]["gflops"]:
        rate = max(result["gflops"][shape] for result in found)
        per = f", {1e3 * rate / flop:.0f} tokens" if shape.startswith("model") else ""
        lines.append(f"products ({shape}): {rate:.0f} GFLOP{per} per CPU-second")
    bandwidth = max(result["read_gb_per_second"] for result in found)
    return "\n".join([*lines, f"reading memory: {bandwidth:.1f} GB/s"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    parser.add_argument(
        "--device", default="cpu", help="cpu, or cuda: the first of CUDA_VISIBLE_DEVICES"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="default: float32, on a GPU bfloat16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", metavar="NAMES", help="only these, separated by commas")
    parser.add_argument("--install", metavar="NAMES", help="install these engines, and stop")
    parser.add_argument("--results", type=Path, help="write all measurements to this file")
    options = parser.parse_args()
    if options.install:
        for name in options.install.split(","):
            environments.install(name)
        return
    device = options.device
    require(device)
    dtype = options.dtype or ("float32" if device == "cpu" else "bfloat16")
    ways = selected(options.ways, device)
    logs = environments.FOLDER / "logs"
    rounds: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="llmdiff-pairs-") as temporary:
        folder = Path(temporary)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.inputs", folder, device, dtype],
            env=surroundings(), cwd=ROOT, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for number in range(options.rounds):
            # Back and forth, so that no method always meets the machine in the same state.
            order = ways if number % 2 == 0 else ways[::-1]
            found = {}
            for way in order:
                found[way] = run(way, folder, logs / str(number + 1), device)
                seconds, peak = found[way][time_on(device)], found[way]["peak_mb"]
                print(f"round {number + 1}: {way} {seconds:.1f} s {peak:.0f} MB", flush=True)
            rounds.append({way: found[way] for way in ways})
            if options.results:
                options.results.write_text(json.dumps(rounds), encoding="utf-8")
    for number, found in enumerate(rounds, 1):
        for what, (same, count) in agreement(found).items():
            print(f"round {number}: {what}: {same} of {count} the same")
    print(f"\n{table(rounds, device)}\n\n{limits(rounds)}\n")
    by_round = ratios(rounds, time_on(device))
    for name, values in by_round.items():
        print(f"{name}: {', '.join(f'{value:.3f}' for value in values)}")
    result: dict[str, Any] = medians(by_round) | {"device": device, "dtype": dtype}
    result["machine"] = next((r["machine"] for r in rounds[0].values()), None)
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
