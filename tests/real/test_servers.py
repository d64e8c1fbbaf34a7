"""The real small chat model behind llama.cpp's server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmdiff.config.packages import package_path
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.engines.server.chat import ServerEngine
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.errors import CapabilityError
from tests.support import ROOT
from tests.support.expanded import BASE, Expanded
from tests.support.llama_server import NAME

pytest.importorskip("xllamacpp", reason="needs llama.cpp's server: pip install xllamacpp")

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
    gguf = package_path(BASE.partition(":")[2], what="the test")
    code = ROOT / "tests" / "support" / "llama_server.py"
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


@pytest.fixture
def pytester(pytester: pytest.Pytester, expanded: Expanded) -> pytest.Pytester:
    expanded.into(pytester.path / ".llmdiff")
    return pytester


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


@pytest.mark.slow
def test_what_it_answered_is_replayed_without_it(pytester: pytest.Pytester, server: str) -> None:
    pytester.makepyfile(SUITE.replace('"Name three colours.", ', "").replace("16", "4"))
    (pytester.path / "tuned.json").write_text('{"default": "Hello."}', encoding="utf-8")
    found = pytester.runpytest_subprocess(
        f"--llm-base={server}#{NAME}", "--llm-tuned=scripted:tuned.json",
        "--llmdiff-record=run.jsonl",
    )  # fmt: skip
    found.assert_outcomes(passed=3)
    assert server not in "".join((pytester.path / "run.jsonl").read_text().splitlines()[1:])
    replay = "replay:run.jsonl"
    found = pytester.runpytest_subprocess(
        f"--llm-base={replay}", f"--llm-tuned={replay}", "--llmdiff-store=other", "-n2"
    )
    found.assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_name_that_it_does_not_serve(pytester: pytest.Pytester, server: str) -> None:
    pytester.makepyfile(SUITE)
    found = pytester.runpytest_subprocess(
        f"--llm-base={server}#{NAME}", f"--llm-tuned={server}#other"
    )
    # This one answers under any name, and a list of models is a hint: what answered is told.
    found.assert_outcomes(passed=4)
    found.stdout.fnmatch_lines([f"{server}#other answers, although the server lists other *"])


PARITY = """
from pytest_llmdiff import assert_parity, parity

PROMPTS = ["What is the capital of France?", "Say hello.", "What is 2 + 3?", "Why is the sky blue?"]

def test_within_the_noise_of_its_kernels(llm_tuned, llm_served):
    assert_parity(llm_tuned, llm_served, PROMPTS, tolerance=0.2)

def test_beyond_the_noise_of_float32(llm_tuned, llm_served):
    found = parity(llm_tuned, llm_served, PROMPTS)
    assert {m.details["kind"] for m in found} - {"same", "numeric"}
"""


@pytest.mark.slow
def test_its_replies_part_where_two_tokens_are_as_good(
    pytester: pytest.Pytester, server: str
) -> None:
    # llama.cpp multiplies 4-bit weights with 8-bit activations; here both are expanded.
    pytester.makepyfile(PARITY)
    found = pytester.runpytest_subprocess(
        f"--llm-base={BASE}", f"--llm-tuned={BASE}", f"--llm-served={server}#{NAME}",
        "--llmdiff-max-new-tokens=16",
    )  # fmt: skip
    found.assert_outcomes(passed=2)
    found.stdout.fnmatch_lines(["note: * of 4 served replies are the same*"])


RAW = """
import pytest
from pytest_llmdiff import assert_divergence, assert_template_consistent, parity

@pytest.mark.llmdiff("Say hello.", max_new_tokens=3)
def test_divergence(comparison):
    assert comparison.tuned.token_ids
    assert_divergence(comparison, at_most=0.05)

def test_score(llm_base, llm_tuned):
    found = [llm.score("What is the capital of France?", "Paris.") for llm in (llm_base, llm_tuned)]
    for ours, theirs in zip(*(f.token_logprobs for f in found), strict=True):
        assert theirs == pytest.approx(ours, abs=0.5)  # of 4-bit weights times 8-bit activations

def test_prompts(llm_base, llm_tuned):
    assert llm_base.render("Say hello.") == llm_tuned.render("Say hello.")
"""


@pytest.mark.slow
def test_with_its_tokenizer_it_is_asked_in_tokens(pytester: pytest.Pytester, server: str) -> None:
    pytester.makepyfile(RAW)
    found = pytester.runpytest_subprocess(
        f"--llm-base={BASE}", f"--llm-tuned={server}#{NAME}", "--llmdiff-json=report.json",
        f"--llmdiff-tokenizer={BASE}",
    )  # fmt: skip
    found.assert_outcomes(passed=3)
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    (value,) = [v["value"] for t in report["tests"] for v in t["verdicts"]]
    assert 0 < value < 0.05


@pytest.mark.slow
def test_it_shows_how_it_renders(server: str) -> None:
    engine = ServerEngine(Endpoint(url=server, model=NAME, role="served"))
    prompt = Message(role="user", content="Say hello.")
    gguf = package_path(BASE.partition(":")[2], what="the test")
    assert engine.render((prompt,)) == Renderer(gguf).ids((prompt,))
    with pytest.raises(CapabilityError, match="does not return the tokens of this conversation"):
        engine.rendered(
            (prompt, Message(role="assistant", content="Hi.")), add_generation_prompt=False
        )


JUDGED = """
import pytest
from pytest_llmdiff import assert_judged, assert_preferred

RUBRIC = "The reply is polite."

@pytest.mark.llmdiff("How do I get a refund?")
def test_rate(comparisons):
    assert_judged(comparisons, rubric=RUBRIC, at_least=0.01)

@pytest.mark.llmdiff("How do I get a refund?")
def test_preference(comparisons):
    assert_preferred(comparisons, rubric=RUBRIC, at_least=0.01)
"""


@pytest.mark.slow
def test_it_judges_and_labels_measure_it(pytester: pytest.Pytester, server: str) -> None:
    """Its quality does not matter, and is not asserted: what it answers is a judgement, or none."""
    pytester.makepyfile(test_judged=JUDGED)
    for name, reply in (("base", "No."), ("tuned", "Gladly, and thank you for asking.")):
        content = json.dumps({"default": reply})
        (pytester.path / f"{name}.json").write_text(content, encoding="utf-8")
    args = (
        "--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json",
        f"--llmdiff-judge={server}#{NAME}", "--llmdiff-json=report.json",
    )  # fmt: skip

    def tests(*more: str) -> dict[str, Any]:
        pytester.runpytest_subprocess(*args, *more)
        report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
        return {test["test"].partition("::")[2]: test for test in report["tests"]}

    first = tests("--llmdiff-label=labels.jsonl")
    for test in first.values():
        assert test["verdicts"][0]["details"]["judge"].startswith("uncorrected")
    file = pytester.path / "labels.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {(row["side"], row["rubric"], row["label"]) for row in rows} == {
        (side, "The reply is polite.", "") for side in ("base", "tuned")
    }
    assert len(rows) == 2
    for row in rows:
        row["label"] = "yes" if row["side"] == "tuned" else "no"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    again = tests("--llmdiff-labels=labels.jsonl")
    assert again["test_preference"]["verdicts"] == first["test_preference"]["verdicts"], "stored"
    rate = again["test_rate"]
    # What so small a model answers differs from run to run: where it gives no judgement, the run
    # says so, and labels measure nothing.
    if rate["outcome"] in ("error", "not_judged"):
        assert (
            "the judge could judge" in rate["message"] or "could not be judged" in rate["message"]
        )
    else:
        told = rate["verdicts"][0]["details"]["judge"]
        assert told["labels"] + told["unjudged"] == 2
