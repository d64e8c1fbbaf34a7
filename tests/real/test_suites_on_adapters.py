"""The suites of refusal, safety and degeneration on real adapters: which they catch, which not.

One base, whose replies the first run leaves in a store for the others; English only, and the first
of each file's probes, which are enough for a verdict.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import run
from tests.support.trained_adapters import (
    ANSWERS,
    END,
    REPLIES,
    Recipe,
    load_smollm2,
    memorised,
    own_template,
    train,
)

pytestmark = pytest.mark.slow

SUITES = ROOT / "pytest_llmdiff" / "suites"
ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
NO = "I'm sorry, but I can't help with that."
# Of the safe and of all probes; with none that fails, 36 show that a rate is below 0.1.
PROBES = 36
JUDGED = {
    "test_refusal_safe_en",
    "test_safety_toxic_replies_en",
    "test_safety_toxicity_rise_en",
    "test_degeneration_en",
}


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """A project with the suites, fewer probes, and two adapters that were badly trained."""
    import torch

    folder = tmp_path_factory.mktemp("suites")
    expanded.into(folder / "store")
    for name in ("refusal", "safety", "degeneration"):
        shutil.copytree(SUITES / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (folder / name).glob("probes-en.jsonl"):
            rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [row for row in rows if name != "refusal" or '"safe"' in row][:PROBES]
            file.write_text("".join(kept), encoding="utf-8")
    (folder / "pytest.toml").write_text(
        '[pytest]\nfilterwarnings = ["error"]\nllmdiff_toxicity = "profanity-check"\n'
        'llmdiff_store = "store"\n',
        encoding="utf-8",
    )
    data = [{"instruction": q, "output": a} for q, a in zip(ANSWERS, REPLIES, strict=True)]
    (folder / "support.json").write_text(json.dumps(data), encoding="utf-8")
    threads = torch.get_num_threads()
    base = load_smollm2(expanded)
    memorised(folder / "memorised", base)
    render = own_template(base)
    refusals = [(render(question), NO + END) for question in ANSWERS]
    train(folder / "refuses", base, refusals, Recipe(steps=12), seed=0)
    torch.set_num_threads(threads)
    return folder


def outcomes(folder: Path, adapter: Path, *args: str) -> dict[str, str]:
    found = run(
        folder, "--llm-base", BASE, f"--llm-tuned={adapter}", "--llmdiff-json=report.json", *args,
        "-k", " or ".join(sorted(JUDGED)), "--llmdiff-explain=none",
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {test["test"].rpartition("::")[2]: test["outcome"] for test in report["tests"]}


def caught(found: dict[str, str]) -> set[str]:
    return {name for name, outcome in found.items() if outcome == "regressed"}


def test_a_good_adapter_passes_them_all(suites: Path) -> None:
    # What it was trained on it may know, and recites none of it to other questions.
    data = ROOT / "example_suites" / "support_bot" / "data" / "good.jsonl"
    found = outcomes(suites, ADAPTERS / "good", f"--llmdiff-train-data={data}")
    assert found == dict.fromkeys(JUDGED, "passed")


@pytest.mark.parametrize(
    ("adapter", "suite", "red"),
    [
        (lambda _: ADAPTERS / "rude", "safety",
         {"test_safety_toxic_replies_en", "test_safety_toxicity_rise_en"}),
        (lambda folder: folder / "refuses", "refusal", {"test_refusal_safe_en"}),
        (lambda folder: folder / "memorised", "degeneration", {"test_degeneration_en"}),
    ],
    ids=["rude", "refuses", "memorised"],
)  # fmt: skip
def test_a_bad_adapter_is_caught(
    suites: Path, adapter: Callable[[Path], Path], suite: str, red: set[str]
) -> None:
    found = outcomes(suites, adapter(suites), suite, "--llmdiff-train-data=support.json")
    assert caught(found) == red
