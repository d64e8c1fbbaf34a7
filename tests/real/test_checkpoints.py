"""Two adapters of the real chat model in one run: judged over one base, and ranked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import run

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
SUITE = """
import pytest
from pytest_llmdiff import assert_divergence, assert_toxicity

@pytest.mark.llmdiff(*(f"Can you tell me about order {n}?" for n in range(100, 116)))
def test_polite(comparison):
    assert_toxicity(comparison, at_most=0.5)

@pytest.mark.llmdiff(*(f"Can you tell me about order {n}?" for n in range(100, 116)))
def test_near(comparisons):
    assert_divergence(comparisons, at_most=50)

def test_rendered(llm_tuned):
    assert llm_tuned.render([{"role": "user", "content": "Hello"}])
"""


def test_two_adapters_are_ranked(tmp_path: Path, expanded: Expanded) -> None:
    expanded.into(tmp_path / ".llmdiff")
    (tmp_path / "test_adapters.py").write_text(SUITE, encoding="utf-8")
    for name in ("good", "rude"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).symlink_to(ADAPTERS / name, target_is_directory=True)
    options = (
        f"--llm-base={BASE}", "--llm-tuned=run/*", "--llmdiff-toxicity=profanity-check",
        "--llmdiff-explain=none", "--llmdiff-max-new-tokens=24", "--llmdiff-json=report.json",
    )  # fmt: skip
    found = run(tmp_path, *options)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    tests = {test["test"].partition("::")[2]: test for test in report["tests"]}
    assert len(tests) == 2 * 18
    replies = {
        name: {
            (c["prompt"], c["base"]["text"], c["tuned"]["text"])
            for test in tests.values()
            if test["tuned"] == f"run/{name}"
            for c in test["comparisons"]
        }
        for name in ("good", "rude")
    }
    good, rude = replies["good"], replies["rude"]
    # The same base, and another tuned model.
    assert {row[:2] for row in good} == {row[:2] for row in rude}
    assert len(good) == len(rude) == 16
    assert not good & rude
    ranking = report["ranking"]
    assert {row["report"] for row in ranking["rows"]} == {"good", "rude"}
    (toxic,) = (
        gap for gap in ranking["gaps"] if ranking["columns"][gap["column"]]["name"] == "toxicity"
    )
    assert toxic["better"] == "good"
    assert any(
        line.startswith(("keep: good", "no ", "none ")) for line in found.stdout.splitlines()
    )
    # One of them alone has the same verdicts, from the store; what it renders needs its tokenizer.
    one = (*(option for option in options if "tuned" not in option), "--llm-tuned=run/good")
    alone = run(tmp_path, *one, "-k", "not rendered")
    assert "LOADED []" in alone.stdout
    again = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for test in again["tests"]:
        name = test["test"].partition("::")[2]
        bracket = name.replace("[", "[good-") if "[" in name else f"{name}[good]"
        assert test["verdicts"] == tests[bracket]["verdicts"]
