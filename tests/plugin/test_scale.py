"""Very many prompts in bounded memory, and reruns that compute nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.reports.row_builder import KEPT
from tests.support import ROOT
from tests.support.projects import Run
from tests.support.runs import calls, run_counting

HEAVY = ("torch", "transformers", "numpy", "sentence_transformers", "sklearn")

STREAM = """
import pytest
from pytest_llmdiff import assert_semantic_drift

def test_stream(llm_pair):
    read = []

    def prompts():
        for number in range(150):
            read.append(number)
            yield f"question {number}"

    found = llm_pair.compare_all(prompts())
    assert read == []
    first = next(found)
    assert len(read) == 64
    rest = list(found)
    assert [c.probe.prompt for c in (first, *rest)] == [f"question {n}" for n in range(150)]

def test_one_prompt_is_one(llm_pair):
    assert len(list(llm_pair.compare_all("Hi"))) == 1
    assert len(list(llm_pair.compare_all([{"role": "user", "content": "Hi"}]))) == 1
    assert list(llm_pair.compare_all([])) == []

@pytest.mark.parametrize("prompts", [[""], [None], None, 3])
def test_no_prompt(llm_pair, prompts):
    from pytest_llmdiff import ConfigError
    with pytest.raises(ConfigError, match="a prompt is a string or a list of chat messages"):
        list(llm_pair.compare_all(prompts))
"""


def test_prompts_are_read_and_compared_a_window_at_a_time(
    project: pytest.Pytester, mode: list[str]
) -> None:
    project.makepyfile(STREAM)
    run_counting(project, mode).assert_outcomes(passed=6)
    of_stream = [batch for batch in calls(project, "base") if batch != ["Hi"]]
    assert [len(batch) for batch in of_stream] == [64, 86]


MANY = """
from pytest_llmdiff import assert_semantic_drift

def test_all(llm_pair):
    for comparison in llm_pair.compare_all(f"question {{n}}" for n in range({count})):
        assert_semantic_drift(comparison, at_most={limit})
"""


def test_a_report_of_very_many_holds_the_worst_and_says_how_many(
    project: pytest.Pytester, run: Run
) -> None:
    count = KEPT + 100
    project.makepyfile(MANY.format(count=count, limit=0.5))
    result = run("--llmdiff-json=report.json", "--junit-xml=junit.xml")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            f"note: *::test_all compared {count} times; the reports hold {KEPT} of them",
            f"note: *::test_all has {count} values of semantic drift; the reports hold the {KEPT} "
            "worst",
            f"  semantic drift   median       0   largest       0 * ({count} values)",
        ]
    )
    (test,) = json.loads((project.path / "report.json").read_text(encoding="utf-8"))["tests"]
    assert test["compared"] == count
    assert test["many"]["semantic drift"]["count"] == count
    assert len(test["comparisons"]) == len(test["verdicts"]) == KEPT
    xml = (project.path / "junit.xml").read_text(encoding="utf-8")
    assert xml.count('name="llmdiff semantic drift"') == KEPT


def test_scores_of_run_time_prompts_are_made_a_window_at_a_time(
    project: pytest.Pytester, run: Run
) -> None:
    (project.path / "scorers.py").write_text(
        "class Letters:\n"
        "    def encode(self, texts):\n"
        "        open('embedded.txt', 'a').write('called\\n')\n"
        "        return [[t.count(c) + 0.01 for c in 'abcdefghij'] for t in texts]\n",
        encoding="utf-8",
    )
    for side in ("base", "tuned"):
        replies = {f"question {n}": f"{side} {n}" for n in range(100)}
        (project.path / f"{side}.json").write_text(json.dumps({"replies": replies}))
    project.makepyfile(MANY.format(count=100, limit=2))
    run().assert_outcomes(passed=1)
    assert (project.path / "embedded.txt").read_text().count("called") == 2


RERUN = f"""
import sys, pytest
from pytest_llmdiff import assert_semantic_drift, assert_toxicity

@pytest.mark.llmdiff(*[f"question {{n}}" for n in range(70)])
def test_it(comparison):
    assert_semantic_drift(comparison, at_most=LIMIT)
    assert_toxicity(comparison, at_most=0.5)
    assert [name for name in {HEAVY!r} if name in sys.modules] == HEAVY
"""


def test_another_limit_computes_nothing_and_loads_nothing(
    project: pytest.Pytester, mode: list[str]
) -> None:
    def suite(limit: float) -> None:
        text = RERUN.replace("LIMIT", str(limit)).replace("== HEAVY", "== []")
        project.makepyfile(text)

    suite(0.9)
    run_counting(project, mode, alone=True).assert_outcomes(passed=70)
    asked = [calls(project, side) for side in ("base", "tuned")]
    embedded = (project.path / "embedded.txt").read_text(encoding="utf-8")
    suite(-1)
    run_counting(project, mode, alone=True).assert_outcomes(failed=70)
    assert [calls(project, side) for side in ("base", "tuned")] == asked
    assert (project.path / "embedded.txt").read_text(encoding="utf-8") == embedded


@pytest.mark.slow
def test_the_benchmark_of_scale_runs(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--json", str(file),
         "--rows=200", "--probes=20", "--rounds=1"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert found.keys() == {
        "rows", "probes", "collect_vs_parametrize", "rerun_vs_empty", "peak_mb_at",
        "rows_per_second", "store_bytes_per_row", "set_peak_mb_at",
    }  # fmt: skip
    assert found["peak_mb_at"].keys() == {"20", "200"}
    assert found["set_peak_mb_at"].keys() == {"20", "200"}
    assert all(value > 0 for value in found["peak_mb_at"].values())
