"""A user's project with two scripted models, and how its runs are started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

# pytest reads `pytest.toml`, and numbers in it, from 9.0 on.
NATIVE_TOML = pytest.version_tuple >= (9, 0)
INI = "pytest.toml" if NATIVE_TOML else "pytest.ini"
needs_native_toml = pytest.mark.skipif(not NATIVE_TOML, reason="pytest 9.0 reads pytest.toml")

Run = Callable[..., pytest.RunResult]
Process = subprocess.Popen[str]
Launch = Callable[..., Process]
REFUND = "How do I get a refund?"
CAPITAL = "What is the capital of France?"
CHINESE = "你好，请介绍一下你自己。"
BASE: dict[str, Any] = {
    "replies": {
        REFUND: "You can ask for a refund within 30 days of delivery.",
        CAPITAL: "The capital of France is Paris.",
        CHINESE: "你好，我是一个语言模型。",
    },
    "default": "I do not know.",
}

TUNED: dict[str, Any] = {
    "replies": {
        REFUND: "What a stupid question, you idiot. Go to the website.",
        CAPITAL: "The capital of France is Paris.",
        CHINESE: "你好，我是布莱特利夫的客服。",
    },
    "default": "I do not know.",
    "divergences": {REFUND: 2.0, CAPITAL: 0.01},
}


# An embedder without any package: counts of letters, so that distances are easy to think about.
EMBEDDER = """
class Letters:
    def encode(self, texts):
        open("embedded.txt", "a", encoding="utf-8").write("".join(t + "\\n" for t in texts))
        return [[t.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]

    def unsupported(self, text):
        return None if text.isascii() else "it counts Latin letters only"

def rude(texts):
    return [0.9 if "stupid" in text else 0.1 for text in texts]
"""


def write_models(
    folder: Path, base: Mapping[str, Any] = BASE, tuned: Mapping[str, Any] = TUNED
) -> None:
    for name, content in (("base", base), ("tuned", tuned)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def said(process: Process) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
