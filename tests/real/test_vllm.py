"""vLLM itself, on a CPU: in the plugin's process and behind its server, against transformers.

It runs by the interpreter that LLMDIFF_VLLM_PYTHON names, one that has vLLM and this plugin, or by
the one of `make vllm`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environments import python
from tests.support import ROOT
from tests.support.adapter_making import merged, saved
from tests.support.real_models import SUITE as SUPPORT_BOT

PYTHON = os.environ.get("LLMDIFF_VLLM_PYTHON") or python("vllm")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None, reason="needs vLLM: `make vllm`, or LLMDIFF_VLLM_PYTHON=INTERPRETER"
    ),
]

ADAPTER = SUPPORT_BOT / "adapters" / "good"
SMALL = {"kv_cache_memory_bytes": 1 << 29, "max_model_len": 512}
TOLERANCE = 1e-3  # nats; what rounding makes is a tenth of it

SUITE = """
import json
from pathlib import Path

from pytest_llmdiff import assert_adapter_effective, assert_wiring, divergence

PROMPTS = [
    "What is the capital of France?", "Where is my parcel?", "Name three colours.",
    "How do I get a refund?", "你好",
]
GIVEN = [("What is the capital of France?", "It is Paris."), ("Hi", "Hello! How are you?")]

def test_both(llm_base, llm_tuned, llm_pair):
    compared = list(llm_pair.compare_all(PROMPTS))
    Path("found.json").write_text(json.dumps({
        "base": [list(c.base.token_ids) for c in compared],
        "tuned": [list(c.tuned.token_ids) for c in compared],
        "ends": [c.base.finish_reason for c in compared],
        "divergences": [float(divergence(c)) for c in compared],
        "scores": [list(score.token_logprobs)
                   for model in (llm_base, llm_tuned) for score in model.score_all(GIVEN)],
        "rendered": llm_tuned.render("Hi"),
    }))

def test_wiring(llm_pair):
    assert_adapter_effective(llm_pair)
    for check in ("base", "keys", "values", "stop tokens", "predictions"):
        assert_wiring(llm_pair, check)
"""
PARITY = """
from pytest_llmdiff import assert_parity

def test_parity(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, [
        "What is the capital of France?", "Where is my parcel?", "Name three colours.", "你好",
    ])
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small chat model as a folder, and the same with an adapter merged into it."""
    from tests.support.trained_adapters import load_smollm2

    folder = tmp_path_factory.mktemp("models")
    base = load_smollm2()
    saved(base, folder / "base")
    merged(ADAPTER, folder / "merged", base)
    return folder


def run(folder: Path, suite: str, interpreter: Any, *args: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(suite, encoding="utf-8")
    (folder / "pytest.toml").write_text("[pytest]\nstrict = true\n", encoding="utf-8")
    return subprocess.run(
        [
            interpreter, "-m", "pytest", "--tb=short", "--llmdiff-json=report.json",
            f"--llmdiff-vllm={json.dumps(SMALL)}", *args,
        ],
        cwd=folder, check=False, text=True, capture_output=True, env=environment(),
    )  # fmt: skip


def environment() -> dict[str, str]:
    given = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return os.environ | given | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def found_by(folder: Path, interpreter: Any, base: str, tuned: str, *args: str) -> dict[str, Any]:
    """What the suite found with these models."""
    found = run(
        folder, SUITE, interpreter, f"--llm-base={base}", f"--llm-tuned={tuned}",
        "--llmdiff-max-new-tokens=16", *args,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    data: dict[str, Any] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return data


@pytest.fixture(scope="module")
def by_transformers(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("transformers")
    return found_by(folder, sys.executable, str(models / "base"), str(ADAPTER))


def test_base_and_adapter_in_one_engine(
    models: Path, by_transformers: dict[str, Any], tmp_path: Path
) -> None:
    found = found_by(tmp_path, PYTHON, f"vllm:{models / 'base'}", f"vllm:{ADAPTER}")
    assert_alike(found, by_transformers)


def assert_alike(found: dict[str, Any], by_transformers: dict[str, Any]) -> None:
    for same in ("base", "tuned", "ends", "rendered"):
        assert found[same] == by_transformers[same], same
    assert found["base"] != found["tuned"]
    assert found["divergences"] == pytest.approx(by_transformers["divergences"], abs=TOLERANCE)
    for ours, theirs in zip(found["scores"], by_transformers["scores"], strict=True):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)


def test_the_engine_itself(models: Path) -> None:
    script = ROOT / "tests" / "support" / "vllm_checks.py"
    ran = subprocess.run(
        [str(PYTHON), script, models, ADAPTER],
        check=False, text=True, capture_output=True, env=environment(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["unknown"] == (
        "--llmdiff-vllm: vLLM has no engine argument 'tensor_paralel_size'; did you mean "
        "'tensor_parallel_size'?"
    )
    assert found["drawn"] == found["drawn alone"], "a draw does not depend on its batch"
    assert found["drawn"] != found["others"], "but on the seed"
    assert found["drawn"] != found["tuned"]
    first, too_long, cut = found["long"]
    assert first == found["base"][0]
    assert too_long.startswith("the prompt has ")
    assert len(cut) + found["prompt of long"] == 127, "a reply ends where the context does"
    assert found["after breaking off"] == found["beside merged"] == found["base"]
    assert found["fits"] is True
    assert found["merged"] == found["merged after the other closed"] == found["tuned"]


def test_parity_with_what_vllm_serves_in_this_process(models: Path, tmp_path: Path) -> None:
    found = run(
        tmp_path, PARITY, PYTHON,
        f"--llm-base={models / 'base'}", f"--llm-tuned={ADAPTER}", f"--llm-served=vllm:{ADAPTER}",
        "--llmdiff-max-new-tokens=16",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    assert "note: 4 of 4 served replies are the same" in found.stdout


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base and adapter as two models of one server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    # What `vllm serve` starts: the command itself asks for a package by the name that builds for
    # CPUs have not.
    command = [
        str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(models / "base"),
        "--served-model-name", "base", "--enable-lora", "--lora-modules", f"support={ADAPTER}",
        "--max-loras", "2", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enforce-eager", "--max-model-len", "512", "--kv-cache-memory-bytes", str(1 << 29),
        "--max-logprobs", "-1",
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment(), start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while not healthy(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


SERVED = """
import pytest

@pytest.mark.llmdiff("What is the capital of France?", "Where is my parcel?", max_new_tokens=16)
def test_replies(comparison):
    assert comparison.base.token_ids
    assert comparison.base.text != comparison.tuned.text
"""


def test_base_and_adapter_of_one_server(server: str, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    found = run(
        tmp_path,
        SERVED,
        sys.executable,
        f"--llm-base={server}#base",
        f"--llm-tuned={server}#support",
    )
    assert found.returncode == 0, found.stdout
    wrong = run(
        tmp_path, SERVED, sys.executable, f"--llm-base={server}#base", f"--llm-tuned={server}#other"
    )
    assert wrong.returncode == 1
    assert f"{server}#other: the server has no such model; it has base, support" in wrong.stdout


def test_raw_completions_of_its_server(
    models: Path, server: str, by_transformers: dict[str, Any], tmp_path: Path
) -> None:
    """Rendered here, sent as token ids; likelihoods and divergences from what the server tells."""
    pytest.importorskip("openai")
    # One request at once: with LoRA, builds for CPUs die of prompt_logprobs beside another request.
    args = f"--llmdiff-tokenizer={models / 'base'}", "--llmdiff-batch-size=1", "-k", "test_both"
    found = found_by(tmp_path, sys.executable, f"{server}#base", f"{server}#support", *args)
    assert_alike(found, by_transformers)


def test_parity_of_files_and_server(models: Path, server: str, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    args = (
        f"--llm-base={models / 'base'}", f"--llm-tuned={ADAPTER}", "--llmdiff-max-new-tokens=16",
    )  # fmt: skip
    found = run(tmp_path, PARITY, sys.executable, *args, f"--llm-served={server}#support")
    assert found.returncode == 0, found.stdout
    assert "note: 4 of 4 served replies are the same" in found.stdout
    unlike = run(tmp_path, PARITY, sys.executable, *args, f"--llm-served={server}#base")
    assert unlike.returncode == 1
    assert "the adapter is not applied" in unlike.stdout
