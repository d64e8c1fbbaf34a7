"""The real small chat model behind llama.cpp's server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llama_server import NAME
from tests.test_real_models import BASE

pytest.importorskip("xllamacpp", reason="needs llama.cpp's server: pip install xllamacpp")
pytestmark = pytest.mark.slow

SUITE = """
import pytest

@pytest.mark.llmdiff(
    "Name three colours.", "What is 2 + 3?", "Write one sentence about the sea.",
    "Say hello.", max_new_tokens=16,
)
def test_sound(comparison):
    assert comparison.base.text
    assert comparison.tuned.text
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from pytest_llmdiff.loading import package_path

    gguf = package_path(BASE.partition(":")[2], what="the test")
    code = Path(__file__).with_name("llama_server.py")
    process = subprocess.Popen(
        [sys.executable, code, gguf], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        lines = (line.strip() for line in process.stdout)
        yield f"{next(line for line in lines if line.startswith('http'))}/v1"
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def test_it_is_compared_with_the_same_weights_in_this_process(
    pytester: pytest.Pytester, server: str
) -> None:
    pytester.makepyfile(SUITE)
    args = (f"--llm-base={BASE}", f"--llm-tuned={server}#{NAME}", "--llmdiff-json=report.json")
    pytester.runpytest_subprocess(*args).assert_outcomes(passed=4)
    first = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    pytester.runpytest_subprocess(*args).assert_outcomes(passed=4)
    again = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    for report in (first, again):
        replies = [c["tuned"] for t in report["tests"] for c in t["comparisons"]]
        assert len(replies) == 4
        assert all(reply["prompt_tokens"] > 5 for reply in replies)
    assert first["tests"] == again["tests"]


def test_a_name_that_it_does_not_serve(pytester: pytest.Pytester, server: str) -> None:
    pytester.makepyfile(SUITE)
    found = pytester.runpytest_subprocess(
        f"--llm-base={server}#{NAME}", f"--llm-tuned={server}#other"
    )
    found.assert_outcomes(errors=4)
    found.stdout.fnmatch_lines([f"*ModelError: {server}#other: the server has no such model*"])
