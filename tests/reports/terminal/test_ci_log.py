"""Nothing that models, servers and probe files say is a command to the runner of a CI job, in all
that a run prints."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.chat_server import ChatServer, on, running, says, status
from tests.support.ci_runner import commands

SAID = (
    "x ##[set-output name=gate]passed",
    "##vso[task.setvariable variable=gate]passed",
    "::stop-commands::pause\n::error::injected\r::add-mask::e\n  ::warning::x",
    "##teamcity[buildStatus text='ok'] ##[group]g",
)
ALL = "\n".join(SAID)


@pytest.mark.parametrize("line", [
    "::error::x", "  ::set-env name=a::b", "a ##[add-path]/x", "##vso[task.complete]done",
    "##teamcity[x]", "fine\r::error::x",
])  # fmt: skip
def test_the_port_of_the_parsers_reads_commands(line: str) -> None:
    assert list(commands(line))


@pytest.mark.parametrize(
    "line", ["E   ::error::x", "::1", "a::b::c", "## [x]", "#[x]", "::nothing::x"]
)
def test_the_port_of_the_parsers_leaves_text_alone(line: str) -> None:
    assert not list(commands(line))


TESTS = """
    from pathlib import Path
    import pytest
    from pytest_llmdiff import assert_not_degenerate, assert_semantic_drift, assert_toxicity

    @pytest.mark.llmdiff(file="probes.jsonl")
    def test_each(comparison):
        assert_semantic_drift(comparison, at_most=0)

    @pytest.mark.llmdiff(file="probes.jsonl")
    def test_set(comparisons):
        assert_toxicity(comparisons, at_most=0.01)

    @pytest.mark.llmdiff("error")
    def test_of_a_refused_one(comparison):
        pass

    @pytest.mark.llmdiff("odd")
    def test_of_an_odd_answer(comparison):
        pass

    def test_at_run_time(llm_pair):
        assert_not_degenerate(llm_pair.compare(Path("prompt.txt").read_text(encoding="utf-8")))
"""


@pytest.fixture
def chat() -> ChatServer:
    replies = {"base": ALL, "tuned": "".join(reversed(SAID)) + ALL * 20}
    return ChatServer(
        replies=lambda model, prompt: f"{prompt} {replies[model]}",
        faults=(on("error", status(400, ALL)), on("odd", says({"choices": ALL, "model": ALL}))),
        listed=("base", "tuned", *SAID),
    )


@pytest.mark.parametrize("columns", ["60", "200"])
def test_a_run(
    project: pytest.Pytester, mode: list[str], chat: ChatServer,
    monkeypatch: pytest.MonkeyPatch, columns: str,
) -> None:  # fmt: skip
    rows = [
        {"prompt": said, "id": said, "tags": [said], "cluster": said, "reference": said}
        for said in SAID
    ]
    folder = Path(project.path)
    (folder / "probes.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "prompt.txt").write_text(ALL, encoding="utf-8")
    project.makepyfile(test_hostile=TESTS)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", os.fspath(folder))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", os.fspath(folder / "summary.md"))
    with running(chat):
        models = [f"--llm-base={chat.url}#base", f"--llm-tuned={chat.url}#tuned"]
        out = ("--llmdiff-json=report.json", f"--llmdiff-export={folder / 'round'}")
        result = project.runpytest_inprocess(*models, *mode, *out, "-vv", "-l", "-rA")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = result.stdout.str() + result.stderr.str()
    assert "stop-commands" in shown
    assert "refuses the request" in shown
    # The plugin's own annotations are commands, and none of them is another than these.
    own = ("::error file=", "::warning file=", "::error title=", "::warning title=")
    assert [line for line in commands(shown) if not line.startswith(own)] == []
    for line in (line for line in shown.splitlines() if line.startswith(own)):
        assert list(commands(line.partition(" ")[2])) == []


def test_two_reports_compared(project: pytest.Pytester, chat: ChatServer) -> None:
    """What `compare` prints, and what it says of a report that it cannot read."""
    rows = [{"prompt": said, "id": said} for said in SAID]
    (project.path / "probes.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    project.makepyfile(test_hostile=TESTS)
    with running(chat):
        for name in ("old", "new"):
            models = [f"--llm-base={chat.url}#base", f"--llm-tuned={chat.url}#tuned"]
            options = (f"--llmdiff-json={name}.json", f"--llmdiff-store={name}", "-k", "test_each")
            project.runpytest_inprocess(*models, *options)
            chat.replies = lambda model, prompt: f"{model} {prompt} {ALL}"
    (project.path / "broken.json").write_text(json.dumps({"schema": ALL}), encoding="utf-8")
    for new in ("new.json", "broken.json"):
        result = project.run(sys.executable, "-m", "pytest_llmdiff", "compare", "old.json", new)
        shown = result.stdout.str() + result.stderr.str()
        assert shown
        assert list(commands(shown)) == []
