"""A suite through Ray Serve: one and two replicas behind one URL, and one that is killed midway.

    make ray      (once an environment of some 0.5 GB; then this)

Each replica is llama.cpp's server with SmolLM2 and the example suite's good adapter, a model name
each, in one thread. `pytest` puts the same probes to both models:

  one, two    with so many replicas, from an empty store: seconds from the first chat to the last,
              told by the replicas, and chats a second
  killed      with two, one of which is ended by SIGKILL after a third of the chats
  again       the same run from its store: no chat at all, but those that tell the models apart

It fails unless the verdicts and replies of all runs are equal, and unless a killed replica makes
the run ask nothing twice beyond the requests that were in flight.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.inputs import ADAPTER, FILE, PACKAGE, prompts
from benchmarks.replicas.adapter_gguf import write_adapter
from benchmarks.replicas.app import BASE, TUNED

ROOT = Path(__file__).resolve().parent.parent
HEADS, KV_HEADS = 9, 3  # of SmolLM2-135M
PROBES, IN_FLIGHT = 32, 8
SUITE = """\
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_set(comparisons):
    assert_semantic_drift(comparisons, at_most=2, scorer="python:scorers:Letters")
"""
SCORERS = """\
class Letters:
    def encode(self, texts):
        return [[t.count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]
"""


@contextmanager
def serving(home: Path, replicas: int, log: Path) -> Iterator[str]:
    """The URL of so many replicas on loopback."""
    python = environments.python("ray")
    if python is None:
        raise SystemExit("Ray has no environment: python benchmarks/environments.py ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "gguf": str(home / FILE), "adapter": str(home / "adapter.gguf"), "log": str(log),
        "replicas": str(replicas),
    }  # fmt: skip
    command = [str(python), "-m", "benchmarks.replicas.serve", str(port), json.dumps(given)]
    with (home / f"ray-{replicas}.log").open("a") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"},
        )  # fmt: skip
    assert process.stdin is not None
    try:
        url = f"http://127.0.0.1:{port}/v1"
        wait_for(url, process)
        yield url
    finally:
        process.stdin.close()
        process.wait(timeout=120)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5):
                return
        except OSError:
            if process.poll() is not None:
                raise SystemExit("Ray Serve ended while it started; see its log") from None
            time.sleep(1)
    raise SystemExit(f"{url} does not answer")


def start(suite: Path, url: str, report: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "pytest", "-q", f"--llm-base={url}#{BASE}",
        f"--llm-tuned={url}#{TUNED}", "--llmdiff-max-new-tokens=24",
        f"--llmdiff-batch-size={IN_FLIGHT}", f"--llmdiff-json={report}",
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=suite, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}."},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str], report: Path) -> Any:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the suite failed:\n{output[-4000:]}")
    return json.loads(report.read_text(encoding="utf-8"))


def make_suite(folder: Path) -> Path:
    folder.mkdir()
    rows = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts()[:PROBES])
    (folder / "probes.jsonl").write_text(rows, encoding="utf-8")
    (folder / "test_set.py").write_text(SUITE, encoding="utf-8")
    (folder / "scorers.py").write_text(SCORERS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    return folder


def chats(log: Path) -> list[list[Any]]:
    """What the replicas were asked: time, process, model, messages."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def judged(report: Any) -> Any:
    """What must be equal: verdicts and replies, without times and addresses."""
    (test,) = report["tests"]
    return (
        test["outcome"],
        [(v["name"], v["outcome"], v["value"]) for v in test["verdicts"]],
        [(c["prompt"], c["base"]["text"], c["tuned"]["text"]) for c in test["comparisons"]],
    )


def kill_one(log: Path, after: int) -> None:
    """End the busiest replica once that many chats were asked."""
    while len(chats(log)) < after:
        time.sleep(0.05)
    ((busiest, _),) = Counter(chat[1] for chat in chats(log)).most_common(1)
    os.kill(busiest, signal.SIGKILL)


def measured(
    replicas: int, home: Path, *, kill: bool = False, again: bool = False
) -> dict[str, Any]:
    name = "killed" if kill else str(replicas)
    suite, log = make_suite(home / f"suite-{name}"), home / f"chats-{name}.jsonl"
    with serving(home, replicas, log) as url:
        process = start(suite, url, "report.json")
        if kill:
            kill_one(log, 2 * PROBES // 3)
        report = finished(process, suite / "report.json")
        asked = chats(log)
        found: dict[str, Any] = {
            "judged": judged(report),
            "chats": len(asked),
            "twice": sum(n - 1 for n in Counter(json.dumps(c[2:]) for c in asked).values()),
            "seconds": asked[-1][0] - asked[0][0],
            "by_replica": sorted(Counter(c[1] for c in asked).values()),
        }
        if again:
            report = finished(start(suite, url, "again.json"), suite / "again.json")
            found["again"] = {"judged": judged(report), "chats": len(chats(log)) - len(asked)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    from pytest_llmdiff.config.packages import package_path

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        home = Path(made)
        (home / FILE).symlink_to(package_path(f"{PACKAGE}/{FILE}", what="the base"))
        write_adapter(ADAPTER, home / "adapter.gguf", heads=HEADS, kv_heads=KV_HEADS)
        runs = {
            "one": measured(1, home),
            "two": measured(2, home, again=True),
            "killed": measured(2, home, kill=True),
        }
    same = all(run["judged"] == runs["one"]["judged"] for run in runs.values())
    same = same and runs["two"]["again"]["judged"] == runs["one"]["judged"]
    ordinary = runs["two"]["twice"]
    more = runs["killed"]["twice"] - ordinary
    figures: dict[str, Any] = {
        "equal": same,
        "asked_again_after_the_kill": more,
        "in_flight": IN_FLIGHT,
        "chats_of_the_second_run": runs["two"]["again"]["chats"],
        "chats_per_second": {
            name: round(run["chats"] / run["seconds"], 2) for name, run in runs.items()
        },
        "by_replica": {name: run["by_replica"] for name, run in runs.items()},
        "chats": {name: run["chats"] for name, run in runs.items()},
    }
    print(json.dumps(figures, indent=2))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if not same or more > IN_FLIGHT:
        raise SystemExit("verdicts differ, or more was asked again than was in flight")


if __name__ == "__main__":
    main()
