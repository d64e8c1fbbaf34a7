"""The callback of docs/checkpoints.md in a real, tiny training by transformers' Trainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.pages import BLOCKS
from tests.support.tiny_models import save_model

pytestmark = pytest.mark.slow

SUITE = """
import pytest
from pytest_llmdiff import assert_divergence

@pytest.mark.llmdiff("Hi", "What is it?", "Hello", max_new_tokens=8)
def test_near(comparisons):
    assert_divergence(comparisons, at_most=1e-9)
"""
TRAINING = """
import sys
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from check_each import CheckEach

torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained("models/base")
model = get_peft_model(
    model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
)
rows = [{"input_ids": [n + 4, n + 5, n + 6], "labels": [n + 4, n + 5, n + 6]} for n in range(8)]
arguments = TrainingArguments(
    output_dir="saves/run", max_steps=6, save_steps=2, learning_rate=0.05, report_to=[],
    per_device_train_batch_size=2, use_cpu=True, disable_tqdm=True,
)
callback = CheckEach(
    "test_checkpoints.py", "--llm-base=models/base", "--llmdiff-inconclusive=pass",
    stop="stop" in sys.argv,
)
Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[callback]).train()
"""


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, check=False, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "models" / "base")
    (block,) = (block for block in BLOCKS if block.file == "check_each.py")
    for name, text in (
        ("check_each.py", block.text), ("train.py", TRAINING), ("test_checkpoints.py", SUITE),
        ("pytest.ini", "[pytest]\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def saved(folder: Path) -> dict[str, dict[str, object]]:
    return {
        each.parent.name: json.loads(each.read_text(encoding="utf-8"))
        for each in (folder / "saves" / "run").glob("checkpoint-*/llmdiff.json")
    }


def test_each_checkpoint_is_judged_as_it_is_saved(folder: Path) -> None:
    pytest.importorskip("accelerate", reason="transformers' Trainer needs it")
    done = ran(folder, "train.py")
    assert done.returncode == 0, done.stderr
    reports = saved(folder)
    assert set(reports) == {"checkpoint-2", "checkpoint-4", "checkpoint-6"}
    values = [report["tests"][0]["verdicts"][0]["value"] for report in reports.values()]  # type: ignore[index]
    assert len(set(values)) == 3
    ranked = ran(
        folder, "-m", "pytest_llmdiff", "compare",
        *(f"saves/run/{name}/llmdiff.json" for name in reports),
    )  # fmt: skip
    assert "3 reports, the best first; 1 test in all of them" in ranked.stdout
    together = ran(
        folder, "-m", "pytest", "test_checkpoints.py", "--llm-base=models/base",
        "--llm-tuned=saves/run/checkpoint-*", "--llmdiff-json=all.json",
    )  # fmt: skip
    assert "3 tuned models, the best first; 1 test in all of them" in together.stdout
    own = json.loads((folder / "all.json").read_text(encoding="utf-8"))["tests"]
    assert sorted(test["verdicts"][0]["value"] for test in own) == sorted(values)


def test_a_checkpoint_that_fails_can_end_the_training(folder: Path) -> None:
    pytest.importorskip("accelerate", reason="transformers' Trainer needs it")
    done = ran(folder, "train.py", "stop")
    assert done.returncode == 0, done.stderr
    assert set(saved(folder)) == {"checkpoint-2"}
