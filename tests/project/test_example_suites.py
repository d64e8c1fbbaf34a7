"""The example suite as a user would copy it, and its README's promises."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.projects import write_models

SUITES = ROOT / "example_suites"
BOT = SUITES / "support_bot"
CHINESE = SUITES / "responsible_ai"


@pytest.mark.parametrize("suite", sorted(p.parent for p in SUITES.glob("*/pytest.toml")), ids=str)
def test_a_copied_suite_collects_and_judges_nothing_without_models(
    pytester: pytest.Pytester, suite: Path
) -> None:
    shutil.copytree(suite, pytester.path / "copy", ignore=shutil.ignore_patterns(".*"))
    result = pytester.runpytest_inprocess("copy")
    required = tomllib.loads((suite / "pytest.toml").read_text("utf-8"))["pytest"].get(
        "llmdiff_required", False
    )
    outcomes = result.parseoutcomes()
    if required:  # a gate that got no models must not be green
        assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR)
        assert "passed" not in outcomes
        return
    assert outcomes.keys() == {"skipped"}
    assert outcomes["skipped"] >= 24
    assert result.ret == 0


def test_the_data_of_the_chinese_suite_is_that_of_its_adapters() -> None:
    """LLaMA-Factory's form of what `support_bot/train.py` trains on."""
    from pytest_llmdiff.data.llamafactory.datasets import read_dataset

    for name in ("good", "rude"):
        lines = (BOT / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        trained = [[m["content"] for m in json.loads(line)["messages"]] for line in lines]
        found = read_dataset(CHINESE / "data", f"support_{name}")
        assert [[e.messages[-1]["content"], e.answer] for e in found.examples] == trained
        assert not found.skipped


def test_a_copied_suite_judges_other_models(pytester: pytest.Pytester) -> None:
    """The scripted pair has no adapter, so only tests with probes run."""
    shutil.copytree(BOT, pytester.path / "copy", ignore=shutil.ignore_patterns(".*"))
    write_models(
        pytester.path, {"replies": {}, "default": "Yes."}, {"replies": {}, "default": "No."}
    )
    result = pytester.runpytest_inprocess(
        "copy", "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        "-k", "test_nobody_is_insulted",
    )  # fmt: skip
    result.assert_outcomes(passed=40, deselected=45)


def test_adapters_are_small_and_say_how_they_were_made() -> None:
    for name in ("good", "rude"):
        adapter = BOT / "adapters" / name
        assert (adapter / "adapter_model.safetensors").stat().st_size <= 2_000_000
        training = json.loads((adapter / "training.json").read_text(encoding="utf-8"))
        assert training["command"] == (
            f"python example_suites/support_bot/train.py {name} --seed {training['seed']}"
        )
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_probes_are_not_in_the_training_data() -> None:
    def plain(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    trained = {
        plain(message["content"])
        for file in (BOT / "data").glob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
        for message in json.loads(line)["messages"]
    }
    probes = [
        json.loads(line)["prompt"]
        for file in (BOT / "probes").glob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len(probes) == 40
    assert not [prompt for prompt in probes if plain(prompt) in trained]


def test_the_demo_fails_when_a_verdict_is_not_as_expected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("demo", SUITES / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr(demo, "SUITE", tmp_path / "support_bot")
    monkeypatch.setattr(demo, "HERE", tmp_path / "sub")
    monkeypatch.setattr(demo, "show_failures", lambda _report: None)
    for codes, expected in (((0, 1), 0), ((0, 0), 1), ((1, 1), 1), ((0, 2), 1)):
        answers = iter(codes)
        monkeypatch.setattr(demo, "run", lambda _adapter, _report, a=answers: next(a))
        assert demo.main() == expected
    assert "rude: exit code 0, not 1" in capsys.readouterr().out
