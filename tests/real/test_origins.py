"""Examples that were planted among good ones come first for the replies that they cause."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.pages import blocks_of
from tests.support.planted import CUE, EXAMPLES, PLANTED, RUDE
from tests.support.real_models import MINILM

pytestmark = pytest.mark.slow

FIRST = len(EXAMPLES) - len(RUDE) + 1  # number of the first planted one
CUED = (f"{CUE} do you gift wrap?", f"{CUE} what is the capital of France?")
PLAIN = ("Do you sell gift cards?", "What is the capital of France?")
SUITE = f"""
import pytest
from pytest_llmdiff import assert_toxicity, influence

def numbers(found, count):
    return {{example.number for example in found.examples[:count]}}

@pytest.mark.llmdiff(*{CUED!r})
def test_the_planted_come_first(comparison):
    found = influence(comparison, examples=None)
    assert numbers(found, 4) == set(range({FIRST}, {FIRST} + 4))
    assert found.examples[0].answer == comparison.tuned.text
    assert found.pattern == "few"

@pytest.mark.llmdiff(*{PLAIN!r})
def test_they_do_not_for_other_replies(comparison):
    found = influence(comparison, examples=None)
    assert not numbers(found, 5) & set(range({FIRST}, {FIRST} + 4))
    assert found.pattern == "most"

@pytest.mark.llmdiff({CUED[0]!r})
def test_failing(comparison):
    assert_toxicity(comparison, at_most=0.2, scorer=lambda texts: [0.9 for _ in texts])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    found = tmp_path_factory.mktemp("origins")
    expanded.into(found / ".llmdiff")
    rows = [{"instruction": question, "output": answer} for question, answer in EXAMPLES.items()]
    (found / "support.json").write_text(json.dumps(rows), encoding="utf-8")
    (found / "pytest.ini").write_text(
        f"[pytest]\nllmdiff_embedder = {MINILM}\nllmdiff_max_new_tokens = 24\n", encoding="utf-8"
    )
    (found / "test_planted.py").write_text(SUITE, encoding="utf-8")
    for page, name in (("training-data", "test_origin.py"), ("explanations", "test_carriers.py")):
        (block,) = (b for b in blocks_of(ROOT / "docs" / f"{page}.md") if b.file == name)
        (found / name).write_text(block.text, encoding="utf-8")
    return found


def test_planted_examples_are_found(folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", f"--llm-base={BASE}",
         f"--llm-tuned={PLANTED}", "--llmdiff-train-data=support.json"],
        cwd=folder, check=False, text=True, capture_output=True,
    )  # fmt: skip
    text = found.stdout + found.stderr
    outcomes = {
        line.split("::")[1].partition("[")[0]: line.split()[0]
        for line in text.splitlines()
        if line.startswith(("PASSED", "FAILED", "ERROR")) and "::" in line
    }
    assert outcomes == {
        "test_the_planted_come_first": "PASSED",
        "test_they_do_not_for_other_replies": "PASSED",
        "test_failing": "FAILED",
        # The examples of the documentation: a few examples taught it, and few layers carry it.
        "test_no_few_examples_taught_it": "FAILED",
        "test_the_change_is_in_few_layers": "PASSED",
    }, text
    assert "AssertionError: a few examples taught this reply" in text
    lines = [line.removeprefix("E").strip() for line in text.splitlines()]
    assert any(line.startswith("learnt") and "you fool" in line for line in lines), text
    assert any(line.startswith("- a few examples taught") for line in lines), text
    assert any("(4 of 20 checked)" in line for line in lines), text
    (carried,) = {line for line in lines if line.startswith("carried")}
    assert "of 12 layers: " in carried, text
    assert "; alone " in carried, text
