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
from tests.support.trained_adapters import (
    ASKED,
    COLOUR,
    ITEMS,
    gains,
    load_smollm2,
    loses,
    task,
    unchanged,
)

pytestmark = pytest.mark.slow

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
    return gains(folder / "gains", load_smollm2(expanded))


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


TASK = """
import pytest
from pytest_llmdiff import assert_accuracy

@pytest.mark.llmdiff(file="task.jsonl")
def test_task(comparisons):
    assert_accuracy(comparisons, correct="contains", gain_at_least=0.05)
"""


def test_of_three_adapters_the_one_that_gained_is_kept(
    folder: Path, taught: Path, expanded: Expanded
) -> None:
    base = load_smollm2(expanded)
    adapters = [taught, loses(folder / "loses", base), unchanged(folder / "unchanged", base)]
    (folder / "task.jsonl").write_text("\n".join(map(json.dumps, task())), encoding="utf-8")
    (folder / "test_task.py").write_text(TASK, encoding="utf-8")
    run(
        folder, "test_task.py", "--llm-base", BASE, *(f"--llm-tuned={a.name}" for a in adapters),
        "--llmdiff-json=three.json", "--llmdiff-explain=none", "--llmdiff-max-new-tokens=12",
    )  # fmt: skip
    report = json.loads((folder / "three.json").read_text(encoding="utf-8"))
    found = {test["tuned"]: test["verdicts"][0] for test in report["tests"]}
    outcomes = {name: verdict["outcome"] for name, verdict in found.items()}
    assert outcomes == {"gains": "passed", "loses": "regressed", "unchanged": "inconclusive"}
    assert found["gains"]["details"]["answers gained"] >= 14
    assert found["loses"]["details"]["answers lost"] >= 6
    assert found["unchanged"]["value"] == 0
    ranking = report["ranking"]
    assert ranking["keep"] == "gains"
    assert next(row["report"] for row in ranking["rows"]) == "gains"
