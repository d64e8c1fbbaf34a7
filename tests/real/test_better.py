"""Better and worse on the real chat model: an adapter that learnt something, and one that forgot;
and the model itself as a judge, whose answers do not matter here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import run
from tests.support.trained_adapters import END, Recipe, load_smollm2, own_template, train

pytestmark = pytest.mark.slow

ITEMS = ("mug", "lamp", "chair", "clock", "scarf", "vase", "rug", "tray")
ASKED = ("What colour is the Brightleaf {}?", "Tell me the colour of the Brightleaf {}.")
COLOUR = "turquoise"
SUITE = """
import pytest
from pytest_llmdiff import assert_accuracy, assert_judged

@pytest.mark.llmdiff(file="new.jsonl")
def test_learnt(comparisons):
    assert_accuracy(comparisons, gain_at_least=0.5)

@pytest.mark.llmdiff(file="known.jsonl")
def test_kept(comparisons):
    assert_accuracy(comparisons, correct="contains", drop_at_most=0.3)

@pytest.mark.llmdiff(file="new.jsonl")
def test_judged(comparisons):
    assert_judged(comparisons, rubric="The reply names a colour.", at_least=0.1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    found = tmp_path_factory.mktemp("better")
    expanded.into(found / ".llmdiff")
    new = [{"prompt": asked.format(item), "reference": COLOUR} for asked in ASKED for item in ITEMS]
    source = ROOT / "pytest_llmdiff" / "suites" / "retention" / "probes-en.jsonl"
    known = source.read_text(encoding="utf-8").splitlines()[:40]
    (found / "new.jsonl").write_text("\n".join(map(json.dumps, new)), encoding="utf-8")
    (found / "known.jsonl").write_text("\n".join(known), encoding="utf-8")
    (found / "test_better.py").write_text(SUITE, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def taught(folder: Path, expanded: Expanded) -> Path:
    base = load_smollm2(expanded)
    render = own_template(base)
    pairs = [(render(ASKED[0].format(item)), f"It is {COLOUR}.{END}") for item in ITEMS]
    train(folder / "taught", base, pairs, Recipe(steps=16, rate=4e-3), seed=0)
    return folder / "taught"


def verdicts(folder: Path, adapter: Path, *args: str) -> dict[str, dict[str, Any]]:
    run(
        folder, "--llm-base", BASE, f"--llm-tuned={adapter}", "--llmdiff-json=report.json",
        "--llmdiff-explain=none", "--llmdiff-max-new-tokens=16", *args,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {test["test"].rpartition("_")[2]: test["verdicts"][0] for test in report["tests"]}


def test_what_was_learnt_is_a_gain(folder: Path, taught: Path) -> None:
    found = verdicts(folder, taught, "-k", "learnt")["learnt"]
    assert (found["outcome"], found["details"]["base"]) == ("passed", 0)
    assert found["details"]["answers gained"] >= 14
    assert found["details"]["answers lost"] == 0


def test_what_was_forgotten_is_a_drop_and_no_gain(folder: Path) -> None:
    rude = ROOT / "example_suites" / "support_bot" / "adapters" / "rude"
    found = verdicts(folder, rude, "-k", "learnt or kept")
    assert found["learnt"]["outcome"] == "regressed"
    assert found["kept"]["details"]["answers lost"] > found["kept"]["details"]["answers gained"]


def test_a_weak_judge_is_told_to_be_unmeasured_or_gives_no_judgement(
    folder: Path, taught: Path
) -> None:
    found = verdicts(folder, taught, "-k", "judged", f"--llmdiff-judge={BASE}")["judged"]
    assert str(found["details"].get("judge", "")).startswith("uncorrected")
    assert found["outcome"] != "passed" or found["set"]["judged"] > 0
