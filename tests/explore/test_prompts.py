"""Logs as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdiff.explore.prompts import logged
from tests.support.topical import PROMPTS, explored, write_log


@pytest.mark.parametrize("name", ["log.txt", "log.LOG", "log"])
def test_a_text_has_a_prompt_in_each_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("\ufeffHow are you?\r\n\r\n 你好 \r\nOne\u2028line\n".encode())
    assert [probe.prompt for probe in logged(path)] == ["How are you?", "你好", "One\u2028line"]


def test_a_text_of_macs_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"One\rTwo\r")
    assert [probe.prompt for probe in logged(tmp_path / "old.txt")] == ["One", "Two"]


@pytest.mark.usefixtures("folder")
def test_conversations_that_end_alike_are_different_prompts() -> None:
    rows = [
        [
            {"role": "user", "content": f"What is {thing}?"},
            {"role": "assistant", "content": "A thing."},
            {"role": "user", "content": "Cook it for me"},
        ]
        for thing in ("rice", "soup", "pie")
    ]
    text = "\n".join(json.dumps({"messages": row}) for row in (*rows, rows[0]))
    Path("log.jsonl").write_text(text, encoding="utf-8")
    assert explored("rude", prompts="log.jsonl").sources["log"][0] == len(rows)


def test_long_prompts_of_a_log_are_counted(folder: Path) -> None:
    write_log(folder, ["cook " * 500, *PROMPTS[:5]])
    found = explored("rude")
    assert "1 prompt of the log left out: longer than 2000 characters" in found.notes
    assert found.sources["log"][0] == 5


def test_a_budget_smaller_than_the_log_takes_prompts_from_all_over_it(folder: Path) -> None:
    write_log(folder, [f"What is thing number {number}?" for number in range(400)])
    found = explored("same")
    numbers = [int(o.probe.prompt[21:-1]) for o in found.observed if o.source == "log"]
    assert max(numbers) > 300
    assert min(numbers) < 100


@pytest.mark.usefixtures("folder")
def test_a_budget_beyond_all_prompts_is_told() -> None:
    found = explored("same", budget=4000)
    assert found.tried < 4000
    assert "the sources have no more prompts, so that fewer than 4000 were tried" in found.notes
