"""Bad circumstances: unwritable files, damaged recordings and models, misuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.tokens import TokenDivergence
from pytest_llmdiff.engines.files.artifacts import (
    generation_stop_ids,
    parameter_count,
    safetensors_header,
)
from pytest_llmdiff.engines.files.rendering import Renderer, load_tokenizer
from pytest_llmdiff.errors import ConfigError, ModelError, ProbeError
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.toxicity import TOXICITY, Toxicity
from tests.support.projects import CAPITAL, Run
from tests.support.tiny_models import save_tokenizer

PASSING = """
import pytest
from pytest_llmdiff import assert_toxicity

@pytest.mark.llmdiff("How do I get a refund?", "What is the capital of France?")
def test_it(comparison):
    assert_toxicity(comparison, at_most=0.95)
"""


# What cannot be written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no file that is full")
def test_a_report_that_cannot_be_written_fails_the_run_and_no_other_report(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(PASSING)
    result = run("--llmdiff-json=/dev/full", "--llmdiff-html=run.html", "--llmdiff-markdown=run.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["json: nothing was written: *No space left on device*"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert (project.path / "run.html").exists()
    assert (project.path / "run.md").exists()


def test_a_store_that_cannot_be_opened(project: pytest.Pytester, run: Run) -> None:
    (project.path / ".llmdiff" / "store.sqlite3").mkdir(parents=True)
    project.makepyfile(PASSING)
    result = run("--llmdiff-json=run.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E *StoreError: the store *.llmdiff cannot be used (*); free*"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    outcomes = json.loads((project.path / "run.json").read_text(encoding="utf-8"))["summary"]
    assert outcomes["error"] == 2


def test_collecting_needs_no_place_to_write(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(PASSING)
    result = run("--collect-only", "--llmdiff-json=test_it.py/x", "--llmdiff-store=scorers.py/x")
    assert result.ret == 0


# Misuse of markers, fixtures and limits


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        (
            "@pytest.mark.llmdiff('x')\ndef test_it(): pass",
            "*test_it has @pytest.mark.llmdiff but requests neither comparison nor comparisons*",
        ),
        (
            "@pytest.mark.llmdiff('x')\ndef test_it(llm_pair): pass",
            "*test_it has @pytest.mark.llmdiff but requests neither comparison nor comparisons*",
        ),
    ],
)
def test_a_marker_that_no_test_uses(
    project: pytest.Pytester, run: Run, suite: str, said: str
) -> None:
    project.makepyfile("import pytest\n" + suite)
    result = run()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


def test_a_marker_of_a_unittest_is_an_error(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        """
        import unittest
        import pytest
        @pytest.mark.llmdiff("x")
        class TestMarked(unittest.TestCase):
            def test_marked(self): pass
        class TestPlain(unittest.TestCase):
            @pytest.mark.llmdiff("x")
            def test_one(self): pass
            def test_plain(self): pass
        """
    )
    result = run()
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines_random(
        [
            "E *ConfigError: *TestMarked::test_marked has @pytest.mark.llmdiff *unittest.TestCase*",
            "E *ConfigError: *TestPlain::test_one has @pytest.mark.llmdiff *unittest.TestCase*",
        ]
    )


def test_a_marker_of_a_class_is_for_tests_that_request_comparisons(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
        import pytest
        @pytest.mark.llmdiff("x")
        class TestIt:
            def test_compared(self, comparison): pass
            def test_plain(self): pass
        """
    )
    run().assert_outcomes(passed=2)


def test_a_comparison_that_is_requested_too_late(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        "def test_it(request):\n    request.getfixturevalue('comparison')\n"
        "def test_set(request):\n    request.getfixturevalue('comparisons')\n"
    )
    result = run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines_random(
        ["E *comparison is requested while the test runs: make it an argument *"]
    )


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), True, "0.5", [1], 1j])
@pytest.mark.parametrize("place", ["at_most", "at_least", "over"])
def test_limits_that_are_no_numbers(place: str, limit: object) -> None:
    values: dict[str, Any] = {place: limit}
    with pytest.raises(ConfigError, match="a limit is a finite number, not"):
        settle([], Toxicity(), [Question(view=TOXICITY, **values)])


# Engines of the user's own

ENGINE = """
from dataclasses import replace
from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.engines import Generated

class Engine:
    def fingerprint(self): return "mine"
    def render(self, messages): return [1]
    def close(self): pass
    def generate(self, requests):
        return {outcomes}

def reply(text, **other):
    known = dict(token_ids=(1,), finish_reason="stop", prompt_tokens=1)
    return Generated(reply=Reply(text=text, **known | other), prompt_ids=(1,))
"""


@pytest.mark.parametrize(
    "outcomes",
    [
        "None", "iter(())", "[(0, 'x')]", "[(0, Generated())]", "[(0, reply(None))]",
        "[(0, reply(5))]", "[(9, reply('x'))]", "[(-1, reply('x'))]", "[reply('x')]",
        "[(0, reply('x', token_ids=(-1,)))]", "[(0, reply('x', token_ids=(2**40,)))]",
        "[(0, reply('x', token_ids=(1.5,)))]", "[(0, reply('x', token_ids=(True,)))]",
        "[(0, reply('x', reasoning=5))]", "[(0, reply('x', finish_reason='why'))]",
        "[(0, reply('x', prompt_tokens='7'))]", "[(0, replace(reply('x'), prompt_ids=None))]",
    ],
)  # fmt: skip
def test_an_engine_that_breaks_the_protocol(project: pytest.Pytester, outcomes: str) -> None:
    (project.path / "engines.py").write_text(ENGINE.format(outcomes=outcomes), encoding="utf-8")
    project.makepyfile(PASSING)
    result = project.runpytest_inprocess(
        "--llm-base=python:engines:Engine",
        "--llm-tuned=scripted:tuned.json",
        "--llmdiff-html=x.html",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["E *ModelError: the engine of the base returned *"])


@pytest.mark.parametrize("given", ["3", "None", "''"])
def test_a_fingerprint_that_identifies_no_model(project: pytest.Pytester, given: str) -> None:
    code = ENGINE.format(outcomes="[]").replace('"mine"', given)
    (project.path / "engines.py").write_text(code, encoding="utf-8")
    project.makepyfile(PASSING)
    result = project.runpytest_inprocess(
        "--llm-base=python:engines:Engine", "--llm-tuned=scripted:tuned.json"
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [f"E *ModelError: *returned the fingerprint {given}; it must be a*"]
    )


@pytest.mark.parametrize("raised", ["SystemExit(2)", "ValueError('2')"])
def test_an_engine_that_cannot_be_closed(project: pytest.Pytester, run: Run, raised: str) -> None:
    code = ENGINE.format(outcomes="((i, reply('x')) for i, _ in enumerate(requests))")
    code = code.replace("def close(self): pass", f"def close(self): raise {raised}")
    (project.path / "engines.py").write_text(code, encoding="utf-8")
    project.makepyfile(PASSING)
    result = run("--llm-base=python:engines:Engine", "--llmdiff-json=report.json")
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    assert (project.path / "report.json").is_file()


# Damaged recordings


def twice(kind: str, name: str, value: object) -> Callable[[bytes], bytes]:
    """The rows of a kind once more, with another value."""

    def edit(data: bytes) -> bytes:
        rows = [row for row in map(json.loads, data.splitlines()) if row["kind"] == kind]
        more = [{**row, "value": {**row["value"], name: value}} for row in rows]
        return data + b"".join(json.dumps(row).encode() + b"\n" for row in more)

    return edit


def edited(kind: str, name: str, value: object) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        rows = [json.loads(line) for line in data.splitlines()]
        return b"".join(
            json.dumps({**row, name: value} if row["kind"] == kind else row).encode() + b"\n"
            for row in rows
        )

    return edit


SCORE: dict[str, Any] = {"value": 0.5, "unsupported": None, "details": {}}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data[: data.rindex(b'"request"')], "*replay:*line *expected a file written*"),
        (lambda data: data + b"\xff\xfe\n", "*replay:*line *expected a file written*"),
        (lambda data: data + b"[" * 100_000, "*replay:*line *expected a file written*"),
        (edited("reply", "reply", 5), "*run.jsonl is damaged at '*"),
        (edited("reply", "prompt_ids", "AAA="), "*run.jsonl is damaged at *"),
        (edited("reply", "side", []), "*replay:*line * is damaged (TypeError*record it again"),
        (edited("reply", "prompt_ids", "!!!"), "*run.jsonl is damaged at *"),
        (edited("score", "inputs", 5), None),
        (edited("score", "value", "x"), "*replay:*line * is damaged *record it again"),
        (edited("score", "value", {**SCORE, "value": "x"}), "*replay:*line * is damaged *"),
        (edited("score", "value", {**SCORE, "unsupported": 7}), "*replay:*line * is damaged *"),
        (edited("score", "value", {**SCORE, "details": None}), "*replay:*line * is damaged *"),
        (twice("score", "value", 0.0), "*replay:*holds two values of a score of *"),
        (twice("score", "value", None), "*replay:*holds two values of a score of *"),
    ],
    ids=[
        "cut",
        "bytes",
        "deep",
        "reply",
        "ids",
        "side",
        "letters",
        "score",
        "no score",
        "text",
        "reason",
        "details",
        "two scores",
        "one score",
    ],
)
def test_a_damaged_recording(
    project: pytest.Pytester, edit: Callable[[bytes], bytes], said: str | None
) -> None:
    project.makepyfile(PASSING)
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    assert project.runpytest_inprocess(*models, "--llmdiff-record=run.jsonl").ret == 0
    file = project.path / "run.jsonl"
    file.write_bytes(edit(file.read_bytes()))
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    result = project.runpytest_inprocess(*replay, "--llmdiff-store=fresh")
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    if said is not None:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"E {said}"])


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (0.5, "*replay:*holds two values of a divergence along one reply, *cannot be joined"),
        ("x", "*replay:*line * is damaged *record it again"),
        (1e-6, None),  # rounding of another machine
    ],
)
def test_a_divergence_that_is_there_twice(
    project: pytest.Pytester, put: float | str, said: str | None
) -> None:
    kl = list(TokenDivergence.__dataclass_fields__).index("kl")
    project.makepyfile(
        f"""
        import pytest
        from pytest_llmdiff import assert_divergence

        @pytest.mark.llmdiff({CAPITAL!r})
        def test_it(comparison):
            assert_divergence(comparison, at_most=9)
        """
    )
    models = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
    assert project.runpytest_inprocess(*models, "--llmdiff-record=run.jsonl").ret == 0
    file = project.path / "run.jsonl"
    (row,) = (
        row for row in map(json.loads, file.read_text("utf-8").splitlines())
        if row["kind"] == "divergence"
    )  # fmt: skip
    first = row["value"]["tokens"][0]
    first[kl] = put if isinstance(put, str) else first[kl] + put
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    replay = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
    result = project.runpytest_inprocess(*replay, "--llmdiff-store=fresh")
    if said is None:
        result.assert_outcomes(passed=1)
    else:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"E {said}"])


# Damaged models


LENGTH = b"\0" * 7


@pytest.mark.parametrize(
    "content",
    [b"", b"\x01", b"\xff" * 100, b"\x02" + LENGTH + b"[]", b"\x08" + LENGTH + b'{"a": 3}'],
)
def test_a_damaged_safetensors_header(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is not a safetensors file or is cut short"):
        safetensors_header(file)


@pytest.mark.parametrize(
    "entry",
    ["{}", '{"shape": [1]}', '{"dtype": 1, "shape": [1]}', '{"dtype": "F32", "shape": [-1]}',
     '{"dtype": "F32", "shape": "x"}', f'{{"dtype": "F32", "shape": [{"9" * 400}]}}'],
)  # fmt: skip
def test_a_tensor_that_is_none(tmp_path: Path, entry: str) -> None:
    text = f'{{"w": {entry}}}'.encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a safetensors file"):
        safetensors_header(file)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\3\0\0\0" + b"\xff" * 40])
def test_a_damaged_gguf_file(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("gguf")
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.gguf is not a GGUF file or is cut short"):
        parameter_count(file)


def test_a_configuration_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json is not a JSON object"):
        generation_stop_ids(tmp_path)


def test_a_tokenizer_with_a_value_of_a_wrong_type(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    save_tokenizer(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | {"model_max_length": "x"}
    file.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"the tokenizer of .* cannot be loaded"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 5}', ""])
def test_a_damaged_tokenizer(tmp_path: Path, content: str) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"the tokenizer of .* cannot be loaded"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(1000000) %}x{% endfor %}",
        "{{ 1 // 0 }}",
        "{{ messages[0]['content'].none() }}",
        "{{ raise_exception('no system role') }}",
        "{% for",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    ],
)
def test_a_template_that_cannot_render(tmp_path: Path, template: str) -> None:
    save_tokenizer(tmp_path, template=template)
    with pytest.raises(ProbeError, match="the chat template refuses this conversation: "):
        Renderer(tmp_path).ids(({"role": "user", "content": "Hi!"},))
