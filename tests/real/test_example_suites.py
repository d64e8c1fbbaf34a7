"""The example suites on the real model, copied out: which tests fail for which adapter, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import run

pytestmark = pytest.mark.slow

SUITES = ROOT / "example_suites"
ADAPTERS = SUITES / "support_bot" / "adapters"


def copied(name: str, folder: Path, expanded: Expanded) -> Path:
    left_out = shutil.ignore_patterns(".llmdiff", "__pycache__")
    shutil.copytree(SUITES / name, folder / name, ignore=left_out)
    expanded.into(folder / name / ".llmdiff")
    return folder / name


def judged(suite: Path, adapter: str, *args: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the report's row of each test by its name and probe."""
    found = run(
        suite, f"--llm-base={BASE}", f"--llm-tuned={ADAPTERS / adapter}", "--llmdiff-explain=none",
        f"--llmdiff-json={adapter}.json", *args,
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    rows = json.loads((suite / f"{adapter}.json").read_text(encoding="utf-8"))["tests"]
    return found.returncode, {row["test"].partition("::")[2]: row for row in rows}


def failed(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The first line of each failure."""
    return {
        name: row["message"].splitlines()[0]
        for name, row in rows.items()
        if row["outcome"] != "passed"
    }


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    return copied("responsible_ai", tmp_path_factory.mktemp("suites"), expanded)


INSULTED = {
    f"test_没有人被辱骂[{probe}]"
    for probe in ("refund-en", "parcel-en", "address-en", "person-en", "angry-customer",
                  "women-vote", "old-staff", "neighbours")
}  # fmt: skip
MOVED = "test_常识问题整体变化不大"
TAUGHT = "test_回答不是从不该学的样本学来的[how-do-i-get-a-refund-7f6b44]"
SOUND = "test_客服问题的回答没有坏掉["


@pytest.mark.parametrize("adapter", ["good", "rude"])
def test_responsible_ai(chinese: Path, adapter: str) -> None:
    """The good adapter, trained on English alone, fails only where it answers Chinese in English.
    The rude one insults everybody, changes what it knew, and the last test names the examples."""
    code, rows = judged(
        chinese, adapter, f"--llmdiff-train-data=data/dataset_info.json#support_{adapter}",
        f"--llmdiff-llamafactory={Path(sys.prefix) / 'llamafactory'}",
    )  # fmt: skip
    assert code == 1
    assert len(rows) == 31
    wrong = failed(rows)
    unsound = {name: rows[name]["message"] for name in wrong if name.startswith(SOUND)}
    assert all(name.endswith("-zh]") for name in unsound), "no English answer is degenerate"
    rest = wrong.keys() - unsound.keys()
    if adapter == "good":
        assert unsound
        assert all("latin script, the base's in cjk" in text for text in unsound.values())
        assert rest == set()
        return
    assert rest == INSULTED | {MOVED, TAUGHT}
    assert all("toxicity" in wrong[name] for name in INSULTED)
    assert wrong[MOVED].startswith("AssertionError: divergence of 10 comparisons")
    assert rows[TAUGHT]["message"].count("support_rude 第") >= 3


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """The project with the baseline of this machine's versions."""
    folder = copied("release_gate", tmp_path_factory.mktemp("suites"), expanded)
    written = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
    found = run(
        folder, f"--llm-base={BASE}", "--llmdiff-calibrate=baseline.json", "-k", "general_answers",
        "-o", "llmdiff_baseline=none.json", '--llmdiff-margin={"divergence": 0.35}',
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    measured = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
    assert written["conditions"]["base"] == measured["conditions"]["base"]
    assert written["tests"].keys() == measured["tests"].keys()
    for test, measures in measured["tests"].items():
        for measure, noise in measures.items():
            committed = written["tests"][test][measure]
            assert committed["probes"] == noise["probes"], "calibrate again: the prompts changed"
            assert committed["limit"] == pytest.approx(noise["limit"], abs=0.05)
    return folder


def test_release_gate(gate: Path) -> None:
    """The released adapter passes by its accepted answers alone; the candidate is refused, and the
    comparison of both runs says what got worse."""
    code, rows = judged(gate, "good")
    assert (code, failed(rows)) == (0, {})
    accepted = gate / "llmdiff-accepted.yaml"
    text = accepted.read_text(encoding="utf-8")
    accepted.unlink()
    code, rows = judged(gate, "good")
    reviewed = {name for name in rows if name.startswith("test_support_answers_are_as_reviewed")}
    assert (code, set(failed(rows))) == (1, reviewed)
    accepted.write_text(text, encoding="utf-8")
    code, rows = judged(gate, "good")
    assert code == 0
    code, rows = judged(gate, "rude")
    wrong = failed(rows)
    assert code == 1
    assert rows.keys() - wrong.keys() == {"test_the_checkpoint_is_loaded_and_changes_something"}
    assert sum("toxicity" in text for text in wrong.values()) == 14

    def compared(old: str, new: str) -> int:
        command = [sys.executable, "-m", "pytest_llmdiff", "compare", f"{old}.json", f"{new}.json"]
        return subprocess.run(command, cwd=gate, check=False, capture_output=True).returncode

    assert compared("good", "good") == 0
    assert compared("good", "rude") == 1
