"""A project whose run has a test of every outcome, a set, very many values, a pair for parity, and
models that say what would break a report that is careless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import BASE, TUNED, write_models

# Each in a prompt's reply, and some in prompts. What is run or fetched calls itself `injected`.
HOSTILE = [
    "<script>window.injected = 1</script>",
    "</script><script>window.injected = 2</script>",
    '<img src="http://127.0.0.1:9/injected.png" onerror="window.injected = 3">',
    "<!--<script>",
    "]]></failure><x>",
    "\u2028window.injected = 4\u2029",
    "user\u202egnp.exe\u2066",
    "\x1b[31mred\x1b[0m\x07\x00\x9b",
    "half \ud83d pair",
    "| a | b |\n|---|---|\n`code` ![x](http://127.0.0.1:9/injected.png) @someone [l](javascript:1)",
    "::error file=x::injected\r\n%0A##[error]",
    "{{ 7 * 7 }} {% raw %} ${window.injected = 5}",
    "stupid " * 20 + "x" * 200_000,
    "مرحبا، كيف أستعيد أموالي؟ שלום עולם",
    "&lt;b&gt; &amp;#x202e; <b>bold</b>",
]
NAMES = [f"hostile {n}" for n in range(len(HOSTILE))]

SUITE = """
import pytest
from pytest_llmdiff import *

@pytest.mark.llmdiff(file="probes/all.jsonl")
def test_drift(comparison):
    assert_semantic_drift(comparison, at_most=0.3)

@pytest.mark.llmdiff(file="probes/all.jsonl")
def test_tone(comparison):
    assert_toxicity(comparison, at_most=0.95)
    assert_not_degenerate(comparison)

@pytest.mark.llmdiff(file="probes/all.jsonl")
def test_set(comparisons):
    assert_toxicity(comparisons, at_most=0.9)
    assert_toxicity(comparisons, rise_at_most=0.01)

@pytest.mark.llmdiff("How do I get a refund?", "What is the capital of France?")
def test_too_few(comparisons):
    assert_semantic_drift(comparisons, at_most=0.2)

@pytest.mark.llmdiff("How do I get a refund?")
def test_own_assertion(comparison):
    assert "refund" in comparison.tuned.text, comparison.tuned.text

@pytest.fixture
def broken(): raise RuntimeError("a fixture is broken")

@pytest.mark.llmdiff("How do I get a refund?")
def test_broken(comparison, broken): pass

@pytest.mark.llmdiff("How do I get a refund?")
def test_skipped(comparison): pytest.skip("not today")

def test_many(llm_pair):
    for found in llm_pair.compare_all(f"question {n}" for n in range(250)):
        assert_toxicity(found, at_most=0.5)

def test_served(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, ["How do I get a refund?", "你好，请介绍一下你自己。"])
"""
COUNTS = ("passed", "regressed", "inconclusive", "not_judged", "failed", "error", "skipped")


def write_every_outcome(folder: Path) -> None:
    hostile = dict(zip(NAMES, HOSTILE, strict=True))
    write_models(
        folder,
        BASE | {"replies": BASE["replies"] | dict.fromkeys(NAMES, "I can help you with that.")},
        TUNED | {"replies": TUNED["replies"] | hostile},
    )
    (folder / "served.json").write_text(json.dumps(TUNED), encoding="utf-8")
    rows: list[dict[str, Any]] = [
        {"prompt": prompt, "tags": ["in_domain"], "language": "zh" if prompt[0] > "z" else "en"}
        for prompt in BASE["replies"]
    ]
    rows += [{"prompt": name, "tags": ["retained", "hostile"]} for name in NAMES]
    rows += [{"prompt": f"question {n}", "tags": ["retained"]} for n in range(20)]
    rows += [{"prompt": f"{text}{'' if text.strip() else '.'}", "id": f"prompt-{n}"}
             for n, text in enumerate(HOSTILE[:8])]  # fmt: skip
    (folder / "probes").mkdir()
    (folder / "probes" / "all.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    trained = {"instruction": "How do I get a refund?", "output": "<b>Open</b> My Orders."}
    (folder / "support.json").write_text(json.dumps([trained]), encoding="utf-8")
    (folder / "test_every.py").write_text(SUITE, encoding="utf-8")


def run_every_outcome(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    return project.runpytest_inprocess(
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "--llm-served=scripted:served.json", "--llmdiff-train-data=support.json",
        "--llmdiff-max-new-tokens=300000", "--tb=line", *args,
    )  # fmt: skip
