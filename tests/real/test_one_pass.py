"""One pass of the real chat model: an adapter through store, verdicts and reports.

This is what `make test` runs of it; the other modules of this folder are for `make test-all`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.expanded import BASE, Expanded
from tests.support.real_models import SUITE, run

SOME = "effective or little_on_average or (new_voice and refund-time)"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    suite = tmp_path_factory.mktemp("copy") / "support_bot"
    shutil.copytree(SUITE, suite, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    expanded.into(suite / ".llmdiff")
    return suite


def test_a_good_adapter_passes_and_is_not_asked_again(suite: Path) -> None:
    args = ("--llm-base", BASE, "--llm-tuned", "adapters/good", "-k", SOME)
    first = run(suite, *args, "--llmdiff-json=first.json", "--llmdiff-html=first.html")
    assert first.returncode == 0, first.stdout
    assert "LOADED ['torch', 'transformers'" in first.stdout
    again = run(suite, *args, "--llmdiff-json=again.json")
    assert again.returncode == 0, again.stdout
    assert "LOADED []" in again.stdout
    reports = [
        json.loads((suite / f"{name}.json").read_text("utf-8")) for name in ("first", "again")
    ]
    assert reports[0]["tests"] == reports[1]["tests"]
    assert [test["outcome"] for test in reports[0]["tests"]] == ["passed"] * 3
    assert "moves_little_on_average" in (suite / "first.html").read_text("utf-8")


def test_a_rude_adapter_fails(suite: Path) -> None:
    args = ("--llm-base", BASE, "--llm-tuned", "adapters/rude")
    found = run(suite, *args, "-k", "nobody_is_insulted and refund-time")
    assert found.returncode == 1, found.stdout
    assert "toxicity" in found.stdout
