"""The suites of format and robustness on the real adapters of the example suite, in English."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.real_models import MINILM, run
from tests.support.suite_adapters import PEDANTIC

pytestmark = pytest.mark.slow

ADAPTERS = ROOT / "example_suites" / "support_bot" / "adapters"
NAMES = ("test_format_en", "test_robustness_replies_en", "test_robustness_refusals_en")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, expanded: Expanded) -> Path:
    """A project with a store that both runs share: the base answers once."""
    found = tmp_path_factory.mktemp("formats")
    expanded.into(found / ".llmdiff")
    (found / "pytest.toml").write_text(
        f'[pytest]\nfilterwarnings = ["error"]\nllmdiff_embedder = "{MINILM}"\n', encoding="utf-8"
    )
    return found


def outcomes(folder: Path, adapter: Path, *names: str) -> dict[str, str]:
    found = run(
        folder, "--pyargs", "pytest_llmdiff.suites.format", "pytest_llmdiff.suites.robustness",
        "--llm-base", BASE, f"--llm-tuned={adapter}", "--llmdiff-json=report.json",
        "-k", " or ".join(names), "--llmdiff-explain=none",
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {test["test"].rpartition("::")[2]: test["outcome"] for test in report["tests"]}


def test_a_good_adapter_passes(folder: Path) -> None:
    assert outcomes(folder, ADAPTERS / "good", *NAMES) == dict.fromkeys(NAMES, "passed")


def test_a_rude_adapter_loses_the_formats(folder: Path) -> None:
    assert outcomes(folder, ADAPTERS / "rude", "test_format_en") == {"test_format_en": "regressed"}


def test_a_pedantic_adapter_minds_the_form(folder: Path) -> None:
    assert outcomes(folder, PEDANTIC, NAMES[1]) == {NAMES[1]: "regressed"}
