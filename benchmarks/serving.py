"""The cost of the client of a server, and how many concurrent requests keep a server busy.

    python benchmarks/serving.py --probes 10000,100000 --json serving.json
    python benchmarks/serving.py --in-process 1000000
    python benchmarks/serving.py --shares 10000
    python benchmarks/serving.py --recorded 2000,12000
    python benchmarks/serving.py --in-flight 1,8,32,128,512

`benchmarks/simulated_server.py` answers for both models in a separate process. `pytest` runs as a
user would run it: `llm_pair.compare_all` over prompts read from a file line by line, inside
`assert_semantic_drift`, which gives one verdict over all of them.

  probes      from an empty store, and again from it: requests a second, CPU time, peak memory
              and size of the store
  in-process  the same with an engine in the process that returns the server's answers: everything
              but the requests, for numbers of probes whose requests would take hours
  recorded    the same, recorded and replayed: size of the recording, memory of the replay
  shares      how the CPU time of the first run is spent
  in-flight   requests a second by `--llmdiff-batch-size`, with a server whose replies take
              `--service` seconds and whose batch holds `--batch` of them

CPU time and memory are those of the pytest process, start-up included. The shares come from
sampling its threads (`benchmarks/sampling.py`), which slows it down, so they have a separate run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.scale import CONFIG, SCORERS, prompt, pytest_run  # noqa: E402

SERVER = Path(__file__).with_name("simulated_server.py")
IN_PROCESS_MODELS = ["--llm-base=python:answers:base", "--llm-tuned=python:answers:tuned"]
UNLIMITED = 1_000_000  # requests at once
SCALE_HEAD = """\
| probes | run | time | requests a second | CPU-seconds per 1000 probes | peak | store per probe |
|---|---|---|---|---|---|---|"""
THROUGHPUT_HEAD = """
| at once | requests | a second | CPU ms a request | in the batch | in the queue | connections |
|---|---|---|---|---|---|---|"""
TEST = """\
import json
from pytest_llmdiff import assert_semantic_drift

def prompts():
    with open("probes.jsonl", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["prompt"]

def test_all(llm_pair):
    assert_semantic_drift(llm_pair.compare_all(prompts()), at_most=1.5)
"""
IN_PROCESS = """\
from benchmarks.simulated_server import completion
from pytest_llmdiff.engines.server.completions import generated_of

class Engine:
    def __init__(self, model):
        self.model = model

    def fingerprint(self):
        return self.model

    def generate(self, requests):
        for index, request in enumerate(requests):
            asked = {"model": self.model, "messages": request.messages, "return_token_ids": True}
            yield index, generated_of(completion(asked))

    def render(self, messages):
        return []

    def close(self):
        pass

base, tuned = Engine("base"), Engine("tuned")
"""
CONFTEST = """\
import json, time
from benchmarks.sampling import Sampler
from benchmarks.serving import PLACES

def pytest_configure(config):
    config.sampler = Sampler(PLACES)
    config.sampler.start()

def pytest_sessionfinish(session):
    with open("shares.json", "w") as file:
        json.dump(session.config.sampler.stop(), file)
"""
# Parts of file names, and labels for the time spent in them.
PLACES = {
    "pytest_llmdiff/engines/server": "server engine, JSON of replies",
    "pytest_llmdiff/store/": "store",
    "pytest_llmdiff/generation/rows.py": "store",
    "pytest_llmdiff/generation/generator.py": "replies to rows and back",
    "pytest_llmdiff/engines/rows.py": "replies to rows and back",
    "pytest_llmdiff/generation/scoring.py": "judging",
    "pytest_llmdiff/scorers": "judging",
    "pytest_llmdiff/measures": "judging",
    "pytest_llmdiff/verdicts": "judging",
    "pytest_llmdiff": "probes, requests, comparisons, reports",
    "site-packages/openai": "openai",
    "site-packages/pydantic": "openai",
    "site-packages/httpx": "httpx, httpcore, h11, anyio",
    "site-packages/httpcore": "httpx, httpcore, h11, anyio",
    "site-packages/h11": "httpx, httpcore, h11, anyio",
    "site-packages/anyio": "httpx, httpcore, h11, anyio",
    "/asyncio/": "asyncio",
    "scorers.py": "judging",
}  # fmt: skip


@contextmanager
def served(service: float, batch: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The URL of a simulated server; at the end the second value has its counts."""
    command = [sys.executable, str(SERVER), f"--service={service}", f"--batch={batch}"]
    counted: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            yield url, counted
        finally:
            counted.update(json.loads(server.communicate()[0]))


def write_suite(folder: Path, rows: int, *, sampled: bool) -> None:
    folder.mkdir()
    with (folder / "probes.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": prompt(number)}) + "\n" for number in range(rows))
    files = {
        "test_served.py": TEST,
        "scorers.py": SCORERS,
        "answers.py": IN_PROCESS,
        "pytest.toml": CONFIG,
    }
    if sampled:
        files["conftest.py"] = CONFTEST
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def models(url: str) -> list[str]:
    return [f"--llm-base={url}#base", f"--llm-tuned={url}#tuned"]


def shares(folder: Path, rows: int) -> dict[str, float]:
    """Shares of the CPU time of a run from an empty store."""
    write_suite(folder, rows, sampled=True)
    with served(0.0, UNLIMITED) as (url, _):
        pytest_run(folder, "test_served.py", *models(url))
    seconds = json.loads((folder / "shares.json").read_text(encoding="utf-8"))
    return {what: spent / sum(seconds.values()) for what, spent in seconds.items()}


def scale(folder: Path, rows: int, *, in_process: bool) -> dict[str, Any]:
    """A run from an empty store, and again."""
    write_suite(folder, rows, sampled=False)
    found: dict[str, Any] = {"probes": rows}
    with served(0.0, UNLIMITED) as (url, counted):
        for name in ("first", "again"):
            started = time.monotonic()
            used = pytest_run(
                folder, "test_served.py", *(IN_PROCESS_MODELS if in_process else models(url))
            )
            found[name] = {
                "seconds": time.monotonic() - started,
                "cpu_seconds": used.seconds,
                "peak_mb": used.peak_mb,
            }
    size = sum(file.stat().st_size for file in (folder / ".llmdiff").glob("store.sqlite3*"))
    return {**found, "server": counted, "store_bytes_per_probe": size / rows}


def recorded(folder: Path, rows: int) -> dict[str, float]:
    """A recording and its replay."""
    write_suite(folder, rows, sampled=False)
    first = pytest_run(folder, "test_served.py", *IN_PROCESS_MODELS, "--llmdiff-record=run.jsonl")
    models = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    replay = pytest_run(folder, "test_served.py", *models)
    return {
        "probes": rows,
        "bytes_per_probe": (folder / "run.jsonl").stat().st_size / rows,
        "recording_peak_mb": first.peak_mb,
        "replay_peak_mb": replay.peak_mb,
    }


def throughput(folder: Path, in_flight: int, options: argparse.Namespace) -> dict[str, Any]:
    """Requests a second between the first and the last one, at this concurrency."""
    # Enough for some seconds: two batches alone would say little about a longer run.
    rows = max(64, min(options.most, round(in_flight * 20)))
    write_suite(folder, rows, sampled=False)
    with served(options.service, options.batch) as (url, counted):
        used = pytest_run(
            folder, "test_served.py", *models(url), f"--llmdiff-batch-size={in_flight}"
        )
    return {
        "in_flight": in_flight,
        "requests_per_second": counted["answered"] / counted["seconds"],
        "most_running": counted["most_running"],
        "most_waiting": counted["most_waiting"],
        "connections": counted["connections"],
        "cpu_seconds": used.seconds,
        "requests": counted["answered"],
    }


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def show_scale(got: dict[str, Any]) -> None:
    rows = got["probes"]
    for name in ("first", "again"):
        run = got[name]
        print(
            f"| {rows} | {name} | {run['seconds']:.1f} s | {2 * rows / run['seconds']:.0f} | "
            f"{1000 * run['cpu_seconds'] / rows:.2f} | {run['peak_mb']:.0f} MB | "
            f"{got['store_bytes_per_probe']:.0f} bytes |",
            flush=True,
        )


def show_throughput(got: dict[str, Any]) -> None:
    print(
        f"| {got['in_flight']} | {got['requests']} | {got['requests_per_second']:.3g} | "
        f"{1000 * got['cpu_seconds'] / got['requests']:.1f} | {got['most_running']} | "
        f"{got['most_waiting']} | {got['connections']} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--probes", type=numbers, default=[], help="sizes, as in 10000,100000")
    parser.add_argument("--in-process", type=numbers, default=[], help="the same without requests")
    parser.add_argument("--recorded", type=numbers, default=[], help="sizes of recordings")
    parser.add_argument("--shares", type=int, help="probes of the run that is sampled")
    parser.add_argument("--in-flight", type=numbers, default=[], help="as in 1,8,32,128,512")
    parser.add_argument("--service", type=float, default=0.2, help="seconds that a reply takes")
    parser.add_argument(
        "--batch", type=int, default=256, help="requests that the server runs at once"
    )
    parser.add_argument("--most", type=int, default=4000, help="probes of a row of in-flight")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "probes": [], "in_process": [], "recorded": [], "shares": {}, "in_flight": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        if options.probes or options.in_process:
            print(SCALE_HEAD)
        for name in ("probes", "in_process"):
            for rows in getattr(options, name):
                got = scale(home / f"{name}-{rows}", rows, in_process=name == "in_process")
                figures[name].append(got)
                show_scale(got)
        if options.recorded:
            print("\n| probes | recording | recorded in | replayed in |\n|---|---|---|---|")
        for rows in options.recorded:
            got = recorded(home / f"recorded-{rows}", rows)
            figures["recorded"].append(got)
            print(
                f"| {rows} | {got['bytes_per_probe']:.0f} bytes a probe | "
                f"{got['recording_peak_mb']:.0f} MB | {got['replay_peak_mb']:.0f} MB |",
                flush=True,
            )
        if options.shares:
            figures["shares"] = shares(home / "shares", options.shares)
            print("\n| CPU time | share |\n|---|---|")
            for what, share in sorted(figures["shares"].items(), key=lambda item: -item[1]):
                print(f"| {what} | {share:.0%} |", flush=True)
        if options.in_flight:
            print(THROUGHPUT_HEAD)
        for count in options.in_flight:
            figures["in_flight"].append(throughput(home / f"at-once-{count}", count, options))
            show_throughput(figures["in_flight"][-1])
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
