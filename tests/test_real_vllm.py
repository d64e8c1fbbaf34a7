"""vLLM itself, on a CPU: in the plugin's process and behind its server, against transformers.

It runs by the interpreter that LLMDIFF_VLLM_PYTHON names, one that has vLLM and this plugin, or by
the one of `make vllm`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environments import python
from tests.adapter_making import merged, saved
from tests.test_real_models import SUITE as SUPPORT_BOT

ROOT = Path(__file__).resolve().parent.parent
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

import pytest

from pytest_llmdiff import divergence

PROMPTS = (
    "What is the capital of France?", "Where is my parcel?", "Name three colours.",
    "How do I get a refund?", "你好",
)

@pytest.mark.llmdiff(*PROMPTS, max_new_tokens=16)
def test_replies(comparison):
    divergence(comparison)

def test_given(llm_base, llm_tuned, llm_pair):
    pairs = [("What is the capital of France?", "It is Paris."), ("Hi", "Hello! How are you?")]
    scores = [[list(s.token_logprobs) for s in m.score_all(pairs)] for m in (llm_base, llm_tuned)]
    texts = llm_pair.read(["The sea is blue."])
    Path("given.json").write_text(json.dumps({
        "scores": scores, "rendered": llm_tuned.render("Hi"),
        "read": [texts[0].run.likelihoods(side, texts, lambda c: [passage(c)])[0].token_logprobs
                 for side in ("base", "tuned")],
    }))

def passage(comparison):
    from pytest_llmdiff.comparison import Passage

    return Passage(text=comparison.probe.messages[-1]["content"])

def test_adapter(llm_pair):
    from pytest_llmdiff import assert_adapter_effective

    assert_adapter_effective(llm_pair)
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
    from tests.trained_adapters import load_smollm2

    folder = tmp_path_factory.mktemp("models")
    base = load_smollm2()
    saved(base, folder / "base")
    merged(ADAPTER, folder / "merged", base)
    return folder


def run(
    folder: Path, suite: str, interpreter: Any, *args: str, arguments: Any = SMALL
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "test_it.py").write_text(suite, encoding="utf-8")
    (folder / "pytest.toml").write_text("[pytest]\nstrict = true\n", encoding="utf-8")
    return subprocess.run(
        [
            interpreter, "-m", "pytest", "--tb=short", "--llmdiff-json=report.json",
            f"--llmdiff-vllm={json.dumps(arguments)}", *args,
        ],
        cwd=folder, check=False, text=True, capture_output=True, env=environment(),
    )  # fmt: skip


def environment() -> dict[str, str]:
    given = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return os.environ | given | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def found_in(folder: Path, name: str = "report.json") -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def replies(folder: Path) -> dict[str, dict[str, Any]]:
    """By prompt: the token ids of both sides, and the divergence."""
    return {
        c["prompt"]: {
            "base": c["base"]["token_ids"],
            "tuned": c["tuned"]["token_ids"],
            "divergence": [v["value"] for v in test["verdicts"]],
        }
        for test in found_in(folder)["tests"]
        for c in test["comparisons"]
    }


@pytest.fixture(scope="module")
def by_transformers(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformers")
    found = run(
        folder, SUITE, sys.executable,
        f"--llm-base={models / 'base'}", f"--llm-tuned={ADAPTER}",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    return folder


def test_base_and_adapter_in_one_engine(
    models: Path, by_transformers: Path, tmp_path: Path
) -> None:
    found = run(
        tmp_path, SUITE, PYTHON, f"--llm-base=vllm:{models / 'base'}", f"--llm-tuned=vllm:{ADAPTER}"
    )
    assert found.returncode == 0, found.stdout
    print(found.stdout)
