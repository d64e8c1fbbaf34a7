"""Attention of the real chat model and its adapters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
SUITE = """
import pytest
from pytest_llmdiff import (
    assert_attends,
    assert_attention_shift,
    attention_map,
    attention_shift,
)

@pytest.mark.llmdiff("How do I get a refund?")
def test_it(comparison):
    found = attention_shift(comparison)
    most = found.details["most_moved"].split(":")[0].replace("layer ", "").split(", head ")
    told = attention_map(comparison, layer=int(most[0]), head=int(most[1]))
    assert all(abs(sum(row) - 1) < 1e-3 for side in (told.base, told.tuned) for row in side)
    assert max(abs(x) for row in told.difference for x in row) > 0.1
    found = attention_map(comparison)
    assert (found.layer, found.head) == (told.layer, told.head) == tuple(map(int, most))
    found.save("head.png")
    assert_attends(comparison, "refund", at_least=0.2)
    assert_attention_shift(comparison, at_most=0.001)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("looks")
    expanded.into(folder / ".llmdiff")
    (folder / "test_looks.py").write_text(SUITE, encoding="utf-8")
    (folder / "pytest.toml").write_text("[pytest]\nllmdiff_max_new_tokens = 12\n", encoding="utf-8")
    models = [f"--llm-base={BASE}", f"--llm-tuned={ADAPTERS / 'rude'}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *models,
         "--llmdiff-json=report.json", "--llmdiff-html=report.html"],
        cwd=folder, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def test_an_adapter_moves_attention_far_beyond_the_noise(report: dict[str, Any]) -> None:
    (test,) = report["tests"]
    verdicts = {verdict["name"]: verdict for verdict in test["verdicts"]}
    assert verdicts['attention to "refund"']["outcome"] == "passed"
    shift = verdicts["attention shift"]
    assert shift["outcome"] == "regressed"
    details = shift["details"]
    assert details["noise"] < 1e-6
    assert shift["value"] == pytest.approx(0.029, abs=0.003), "as the docs say"
    assert len(details["by_layer"]) == 30
    assert 0.3 < details["base_sink"] < 0.7, "the first token takes about half of it"


def test_its_failure_shows_heads_words_and_a_map(report: dict[str, Any]) -> None:
    (comparison,) = report["tests"][0]["comparisons"]
    looked = comparison["attention"]
    values = [value for _, _, value in looked["heads"]]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(0.22, abs=0.02), "as the docs say"
    assert {word for word, _, _ in looked["words"]} <= {"how", "do", "i", "get", "a", "refund"}
    assert len(looked["grid"]["moved"]) == 30
    assert {len(row) for row in looked["grid"]["moved"]} == {9}
    assert max(max(row) for row in looked["grid"]["moved"]) == pytest.approx(values[0], rel=1e-3)
    assert all(len(side) == 30 for side in looked["grid"]["spread"])
    maps = [[each["layer"], each["head"]] for each in [looked["map"], *looked["more_maps"]]]
    assert maps == [head[:2] for head in looked["heads"][:4]]
    found = looked["map"]
    assert "".join(found["keys"][slice(*found["asked"])]).strip() == "How do I get a refund?"
    assert [found["layer"], found["head"]] == looked["heads"][0][:2]
    assert "".join(found["keys"]).count("How do I get a refund?") == 1
    for side in ("base", "tuned"):
        assert len(found[side]) == len(found["reply"]) == comparison["base"]["tokens"]
        assert all(len(row) == len(found["keys"]) for row in found[side])
