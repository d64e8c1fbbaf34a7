"""From the command to the last verdict: the plugin, and scripts that do the same.

    python benchmarks/environments.py vllm && python benchmarks/environments.py lm-eval   (once)
    python -m benchmarks.end_to_end --json end_to_end.json --plot end_to_end.png

Each way is one command that asks the base model and the tuned one (an adapter) the same prompts,
greedily and in float32, compares the replies, and fails if none changed. All of it counts: Python's
start, imports, loading, compiling, replies, comparing. CPU time is that of the process and all its
children; the ways run in turns, and ways whose environment is missing are left out.

  cold, warm     `pytest` with the plugin over one test of all probes, from an empty store and again
  transformers   a script with left-padded batches through `generate`, longest first; one base in
                 memory, with and without the adapter
  vllm           a script with one vLLM engine and LoRA requests, which need no compiling
  vllm-compiled  a script with two compiled engines, the adapter merged beforehand; compiled code is
                 in vLLM's cache, which the first, unmeasured round fills
  lm-eval        a script with lm-evaluation-harness' `generate_until`, model and `peft` model

`cold_vs_WAY` and `warm_vs_WAY` are the seconds of that way over the plugin's: above 1 the plugin is
ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.inputs import FORMS, NEW_TOKENS, SIZES, TOPICS, longest_first
from benchmarks.measuring import ONE_THREAD

ROOT = Path(__file__).resolve().parent.parent
PROBES = (24, 200, 1000)
# The way, and the environment of its script if not this interpreter's.
RIVALS: Mapping[str, str | None] = {
    "transformers": None,
    "vllm": "vllm",
    "vllm-compiled": "vllm",
    "lm-eval": "lm-eval",
}
BATCH = 64
ENDINGS = (
    "", " Be brief.", " Please.", " Use plain words.", " Thank you!", " I am in a hurry.",
    " It is for my son.", " Write two sentences.", " I asked before.", " What else?",
    " No lists, please.", " Be honest.", " It is for work.", " I am new here.", " Why?", " Today.",
)  # fmt: skip
SUITE = """\
import pytest

@pytest.mark.llmdiff(file="probes.jsonl")
def test_changed(comparisons):
    assert sum(each.base.text != each.tuned.text for each in comparisons) > 0
"""


def prompts(count: int) -> list[str]:
    """Short chat prompts, all different. At most 1,024."""
    every = [form.format(t) + end for end in ENDINGS for t in TOPICS for form in FORMS]
    return every[:count]


def generate_with_transformers(folder: Path, rows: Sequence[str]) -> list[tuple[str, str]]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    base = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(folder / f"adapter-{next(iter(SIZES))}")).eval()
    ids = rendered(tokenizer, rows)
    ends = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    with model.disable_adapter():
        before = longest_first(model, ids, *ends, batch=BATCH)
    after = longest_first(model, ids, *ends, batch=BATCH)
    return decoded(tokenizer, before, after)


def generate_with_vllm(folder: Path, rows: Sequence[str]) -> list[tuple[str, str]]:
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    from benchmarks.rivals.vllm_engine import LORA, SETTINGS

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    adapter = LoRARequest("tuned", 1, str(folder / "adapter-full"))
    greedy = SamplingParams(temperature=0.0, max_tokens=NEW_TOKENS)
    ids = rendered(tokenizer, rows)
    llm = LLM(model=str(folder / "base"), **(SETTINGS | LORA))
    sides = [None] * len(ids) + [adapter] * len(ids)
    asked = [{"prompt_token_ids": row} for row in (*ids, *ids)]
    outputs = llm.generate(asked, greedy, lora_request=sides, use_tqdm=False)
    found = [list(output.outputs[0].token_ids) for output in outputs]
    return decoded(tokenizer, found[: len(ids)], found[len(ids) :])


def generate_with_compiled_vllm(folder: Path, rows: Sequence[str]) -> list[tuple[str, str]]:
    import gc

    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    from benchmarks.rivals.vllm_engine import SETTINGS, linked

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    greedy = SamplingParams(temperature=0.0, max_tokens=NEW_TOKENS)
    ids = rendered(tokenizer, rows)
    found = []
    for model in ("base", "merged-full"):
        llm = LLM(model=str(linked(folder / model)), **SETTINGS)
        outputs = llm.generate([{"prompt_token_ids": row} for row in ids], greedy, use_tqdm=False)
        found.append([list(output.outputs[0].token_ids) for output in outputs])
        del llm
        gc.collect()
    return decoded(tokenizer, *found)


def generate_with_lm_eval(folder: Path, rows: Sequence[str]) -> list[tuple[str, str]]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    found = []
    for adapter in (None, str(folder / "adapter-full")):
        lm = HFLM(
            pretrained=str(folder / "base"), peft=adapter, dtype="float32", device="cpu",
            add_bos_token=False, batch_size=BATCH,
        )  # fmt: skip
        settings = {"until": [], "max_gen_toks": NEW_TOKENS, "do_sample": False}
        texts = [lm.tok_decode(ids) for ids in rendered(lm.tokenizer, rows)]
        asked = [
            Instance(request_type="generate_until", doc={}, arguments=(text, dict(settings)), idx=n)
            for n, text in enumerate(texts)
        ]
        found.append(lm.generate_until(asked, disable_tqdm=True))
    return list(zip(*found, strict=True))


SCRIPTS = {
    "transformers": generate_with_transformers,
    "vllm": generate_with_vllm,
    "vllm-compiled": generate_with_compiled_vllm,
    "lm-eval": generate_with_lm_eval,
}


def rendered(tokenizer: Any, rows: Sequence[str]) -> list[list[int]]:
    """Each prompt as the chat template's token ids."""
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for row in rows
    ]


def decoded(tokenizer: Any, *sides: Sequence[Sequence[int]]) -> list[tuple[str, str]]:
    texts = [[tokenizer.decode(row, skip_special_tokens=True) for row in side] for side in sides]
    return list(zip(*texts, strict=True))


def child(way: str, folder: Path, count: int) -> int:
    """What such a script does: both models' replies, and a verdict."""
    from benchmarks.rivals.vllm_engine import ENVIRONMENT

    os.environ.update(ENVIRONMENT if way.startswith("vllm") else {})
    found = SCRIPTS[way](folder, prompts(count))
    changed = sum(base != tuned for base, tuned in found)
    print(f"{changed} of {len(found)} changed")
    return int(changed == 0)


def make_suite(folder: Path, count: int) -> None:
    folder.mkdir()
    rows = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts(count))
    (folder / "probes.jsonl").write_text(rows, encoding="utf-8")
    (folder / "test_changed.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def timed(command: Sequence[str], folder: Path, threads: int) -> dict[str, float]:
    """CPU and wall seconds of a command and its children."""
    environment = os.environ | {name: str(threads) for name in ONE_THREAD}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()[-4000:]}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall}


def plugin_round(home: Path, count: int, threads: int) -> dict[str, dict[str, float]]:
    """A run from an empty store, and the same again."""
    with tempfile.TemporaryDirectory() as made:
        suite = Path(made) / "suite"
        make_suite(suite, count)
        command = [
            sys.executable, "-m", "pytest", "-q", f"--llm-base={home / 'base'}",
            f"--llm-tuned={home / 'adapter-full'}", f"--llmdiff-max-new-tokens={NEW_TOKENS}",
            "--llmdiff-device=cpu", "--llmdiff-dtype=float32",
        ]  # fmt: skip
        return {way: timed(command, suite, threads) for way in ("cold", "warm")}


def rival_round(way: str, home: Path, count: int, threads: int) -> dict[str, float]:
    name = RIVALS[way]
    python = Path(sys.executable) if name is None else environments.python(name)
    command = [str(python), "-m", "benchmarks.end_to_end", "--child", way, str(home), str(count)]
    return timed(command, ROOT, threads)


def ratios(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    """Seconds of each script over the plugin's: medians of the rounds."""
    return {
        f"{ours}_vs_{way} {what}": round(
            statistics.median(r[way][what] / r[ours][what] for r in rounds), 2
        )
        for ours in ("cold", "warm")
        for way in RIVALS
        if way in rounds[0]
        for what in ("cpu", "wall")
    }


def plot(figures: Mapping[str, Any], file: Path) -> None:
    """CPU seconds by number of probes, a line a way."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    counts = sorted(map(int, figures["probes"]))
    for way in figures["probes"][str(counts[0])]["seconds"]:
        seconds = [figures["probes"][str(n)]["seconds"][way]["cpu"] for n in counts]
        axes.plot(counts, seconds, marker="o", label=way)
    axes.set(xscale="log", yscale="log", xlabel="probes", ylabel="CPU seconds, command to verdict")
    axes.legend()
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this PNG (needs matplotlib)")
    parser.add_argument("--probes", default=",".join(map(str, PROBES)))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", default=",".join(RIVALS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        way, folder, count = given.child
        raise SystemExit(child(way, Path(folder), int(count)))
    names = [way for way in given.ways.split(",") if way]
    ways = [w for w in names if RIVALS[w] is None or environments.python(str(RIVALS[w]))]
    found: dict[str, Any] = {"threads": given.threads, "probes": {}}
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        subprocess.run([sys.executable, "-m", "benchmarks.inputs", str(home)], cwd=ROOT, check=True)
        if "vllm-compiled" in ways:
            rival_round("vllm-compiled", home, 2, given.threads)
        print("| probes | way | CPU seconds | wall seconds |\n|---|---|---|---|")
        for count in map(int, given.probes.split(",")):
            rounds = []
            for _ in range(given.rounds):
                each = plugin_round(home, count, given.threads)
                each |= {way: rival_round(way, home, count, given.threads) for way in ways}
                rounds.append(each)
                for way, used in each.items():
                    print(
                        f"| {count} | {way} | {used['cpu']:.1f} | {used['wall']:.1f} |", flush=True
                    )
            seconds = {
                way: {what: statistics.median(r[way][what] for r in rounds) for what in used}
                for way, used in rounds[0].items()
            }
            found["probes"][str(count)] = {"seconds": seconds, "ratios": ratios(rounds)}
            print(json.dumps(found["probes"][str(count)]["ratios"]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if given.plot:
        plot(found, given.plot)


if __name__ == "__main__":
    main()
