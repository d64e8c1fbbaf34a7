"""Several processes ask one server; several recordings make one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.engines.devices import placed_elsewhere
from tests.support.chat_server import ChatServer, running
from tests.support.projects import Run

PROBES = [f"question {number}" for number in range(200)]
EACH = f"""
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(*{PROBES!r})
def test_each(comparison):
    assert_semantic_drift(comparison, at_most=1)
"""


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running(ChatServer()) as chat:
        yield chat


def test_all_workers_ask_a_server_and_nothing_twice(
    project: pytest.Pytester, chat: ChatServer
) -> None:
    project.makepyfile(EACH)
    met = threading.Event()
    meeting = threading.Barrier(2, action=met.set)

    def together(*_: Any) -> bool:
        if not met.is_set():
            meeting.wait(timeout=60)  # with one request at a time per process, for another process
        return False

    chat.faults = (together,)
    result = project.runpytest_subprocess(*chat.specs(), "-n2", "--llmdiff-batch-size=1")
    result.assert_outcomes(passed=200)
    assert met.is_set()
    asked = {about: n for about, n in chat.asked.items() if about[1] in PROBES}
    assert asked == {(side, probe): 1 for side in ("base", "tuned") for probe in PROBES}


def test_one_process_alone_has_no_share() -> None:
    alone = placed_elsewhere(None, 1)
    assert (alone.shares, alone.locks) == (1, ("models",))
    several = [placed_elsewhere(f"gw{number}", 3) for number in range(3)]
    assert {each.shares for each in several} == {3}
    assert len({each.locks for each in several}) == 3


ALL = """
import pytest
from pytest_llmdiff import assert_semantic_drift

@pytest.mark.llmdiff(file="probes.jsonl")
def test_each(comparison):
    assert_semantic_drift(comparison, at_most=1.5)

@pytest.mark.llmdiff(file="probes.jsonl")
def test_all(comparisons):
    assert_semantic_drift(comparisons, at_most=1.5)
    assert len(list(comparisons)) == 12
"""
PART = """
import json, os, pathlib
from pytest_llmdiff import semantic_drift

def test_part(llm_pair):
    part, parts = map(int, os.environ["PART"].split("/"))
    lines = pathlib.Path("probes.jsonl").read_text().splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    semantic_drift(llm_pair.compare_all(prompts[part::parts]))
"""


def recorded(project: pytest.Pytester, run: Run, part: str, monkeypatch: Any) -> Path:
    """What one machine records, with a store of its own."""
    monkeypatch.setenv("PART", part)
    file = project.path / f"{part[0]}.jsonl"
    result = run("test_part.py", f"--llmdiff-record={file}", f"--llmdiff-store={file}.store")
    result.assert_outcomes(passed=1)
    return file


def test_recordings_of_parts_are_one_recording(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_all=ALL, test_part=PART)
    (project.path / "probes.jsonl").write_text(
        "".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(12))
    )
    parts = [recorded(project, run, f"{part}/3", monkeypatch) for part in range(3)]
    for file in ("base.json", "tuned.json"):
        (project.path / file).unlink()
    joined = project.path / "all.jsonl"
    joined.write_text("".join(part.read_text(encoding="utf-8") for part in parts))
    replay = f"replay:{joined}"
    result = project.runpytest_subprocess(
        "test_all.py", f"--llm-base={replay}", f"--llm-tuned={replay}"
    )
    result.assert_outcomes(passed=13)


def test_recordings_that_contradict_each_other_are_not_joined(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_all=ALL, test_part=PART)
    (project.path / "probes.jsonl").write_text('{"prompt": "question 0"}\n')
    first = recorded(project, run, "0/1", monkeypatch).read_text(encoding="utf-8")
    (project.path / "tuned.json").write_text('{"default": "Something else."}')
    (project.path / "all.jsonl").write_text(
        first + recorded(project, run, "0/1", monkeypatch).read_text(encoding="utf-8")
    )
    result = project.runpytest_subprocess(
        "test_all.py", "--llm-base=replay:all.jsonl", "--llm-tuned=replay:all.jsonl"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines("*holds two replies of the tuned to 'question 0'*cannot be joined*")
