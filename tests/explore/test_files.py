"""What an exploration writes, whatever the models said."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdiff import ConfigError
from pytest_llmdiff.__main__ import main
from pytest_llmdiff.data.files.probe_files import read_probe_file
from pytest_llmdiff.explore.files import limit_of
from pytest_llmdiff.explore.values import Exploration
from tests.support.topical import SCORERS, explored


def functions(found: Exploration, folder: Path) -> list[str]:
    found.write(folder)
    tree = ast.parse((folder / "test_found.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def ran(pytester: pytest.Pytester, folder: Path, models: list[str]) -> pytest.RunResult:
    sys.modules.pop("test_found", None)  # all runs are in this process
    return pytester.runpytest("--rootdir", folder, str(folder), *models)


def test_hostile_replies_stay_text(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # pytester has another one
    found = explored("hostile")
    assert len(functions(found, folder)) == len(found.themes) == 1
    page = (folder / "explore.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "{{ 7*7 }} &lt;/p&gt;" in page
    examples = json.loads((folder / "explore.json").read_text(encoding="utf-8"))
    assert "\ud800" in examples["themes"][0]["examples"][0]["tuned"]
    assert "\x1b" not in "\n".join(found.lines())
    models = ["--llm-base=python:topical:base", "--llm-tuned=python:topical:hostile"]
    ran(pytester, folder, models).assert_outcomes(failed=1)
    same = ["--llm-base=python:topical:base", "--llm-tuned=python:topical:base"]
    ran(pytester, folder, same).assert_outcomes(passed=1)


def test_tests_of_servers_go_by_the_drift(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    models = [
        "--llm-base=python:topical:served_base", "--llm-tuned=python:topical:served_rude",
        "--llmdiff-embedder=python:scorers:Letters",
    ]  # fmt: skip
    found = explored("served_rude", "served_base")
    found.write(folder)
    ran(pytester, folder, models).assert_outcomes(failed=1)
    wanted = explored("served_rude", "served_base", accept=[found.themes[0].name])
    (theme,) = wanted.themes
    read = [drift for drift in theme.drifts if drift is not None]
    assert len(read) < len(theme.probes), "the embedder reads no Chinese"
    assert limit_of(theme, wanted.noise) < 2 * max(read) < 0.9 < min(theme.scores)
    wanted.write(folder)
    ran(pytester, folder, models).assert_outcomes(passed=1)


def test_a_theme_in_chinese_is_named_in_chinese(folder: Path) -> None:
    found = explored("chinese")
    functions(found, folder)
    text = (folder / "test_found.py").read_text(encoding="utf-8")
    assert found.themes[0].gained[0] in text.partition("def ")[2].partition('"""')[2]
    assert "says ," not in text


def test_each_theme_has_a_function_that_python_takes(folder: Path) -> None:
    found = explored("rude")
    names = ["a-b", "a_b", "x²-½", "\ufb01-ne", "fi-ne", "煮-is"]
    themes = tuple(replace(found.themes[0], name=name) for name in names)
    own = functions(replace(found, themes=themes), folder)
    assert len(set(own)) == len(names)
    assert own[0] == "test_a_b"
    assert own[-1] == "test_煮_is"


@pytest.mark.usefixtures("folder")
def test_tools_and_system_prompts_of_a_log_are_kept() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    rows = [
        {"prompt": f"How do I cook {dish}?", "system": "Be a pirate.", "tools": tools}
        for dish in ("rice", "soup", "fish", "beans", "pasta", "pie")
    ]
    Path("log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = explored("rude", prompts="log.jsonl")
    found.write(Path())
    kept = [
        row for row in read_probe_file(Path("probes/found.jsonl"))
        if row.messages[0]["content"] == "Be a pirate."
    ]  # fmt: skip
    assert len(kept) == len(rows)
    assert all(row.messages[0].get("tools") for row in kept)


def command(output: str) -> list[str]:
    words = ["explore", "python:topical:rude", "--base", "python:topical:base", "--budget", "60"]
    scorers = [part for name, value in SCORERS.items() for part in (f"--{name}", value)]
    return [*words, "--prompts", "log.txt", *scorers, "--output", output]


@pytest.mark.usefixtures("folder")
def test_a_place_that_takes_no_files_is_told_before_the_search(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command("log.txt/found")) == 2
    error = capsys.readouterr().err
    assert "log.txt is no folder: give another folder with --output" in error
    assert "prompts tried" not in error
    Path("test_found.py").write_text("def test_mine(): ...", encoding="utf-8")
    assert main(command(".")) == 2
    error = capsys.readouterr().err
    assert "was not written by an exploration" in error
    assert "prompts tried" not in error


@pytest.mark.usefixtures("folder")
def test_what_was_found_is_shown_even_where_it_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ConfigError("the disk is full")

    monkeypatch.setattr("pytest_llmdiff.explore.files.write", full)
    assert main(command("out")) == 2
    printed = capsys.readouterr()
    assert "1. cook-" in printed.out
    assert "the disk is full" in printed.err


@pytest.mark.usefixtures("folder")
def test_a_stop_by_hand_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_llmdiff.explore.search.Search.explored", stopped)
    assert main(command("out")) == 130
    assert "stopped; the same command goes on from here" in capsys.readouterr().err
