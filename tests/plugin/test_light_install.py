"""Without the extra `hf`: what runs, with imports refused as if nothing of it were installed, and
the one line that everything else ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.chat_server import ChatServer, running
from tests.support.projects import CAPITAL, REFUND

# With what these bring themselves, which the plugin imports too.
REFUSED = (
    "torch", "transformers", "peft", "sentence_transformers", "detoxify",
    "tokenizers", "safetensors", "huggingface_hub", "accelerate",
)  # fmt: skip
REFUSING = f"""
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {REFUSED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
"""
SUITE = f"""
import pytest
from pytest_llmdiff import *

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_each(comparison):
    assert_semantic_drift(comparison, at_most=2)
    assert_toxicity(comparison, at_most=1)
    assert_not_degenerate(comparison)

@pytest.mark.llmdiff({REFUND!r}, {CAPITAL!r})
def test_set(comparisons):
    assert_toxicity(comparisons, at_most=1)
    assert_refusal(comparisons, gained_at_most=1)
"""
SCRIPTED = ("--llm-base=scripted:base.json", "--llm-tuned=scripted:tuned.json")
REPLAYED = ("--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl")
HF = 'pip install "pytest-llmdiff[hf]"'


class Light:
    """A project whose runs have a Python that cannot import what the extra `hf` brings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "refusing.py").write_text(REFUSING, encoding="utf-8")

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self._start("-m", "pytest", "-q", "-p", "refusing", *args)

    def code(self, code: str, *args: str) -> subprocess.CompletedProcess[str]:
        return self._start("-c", f"import refusing\n{code}", *args)

    def _start(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            cwd=self.folder, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip


@pytest.fixture
def light(project: pytest.Pytester) -> Light:
    project.makepyfile(SUITE)
    return Light(project.path)


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running(ChatServer()) as chat:
        yield chat


def passed(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


def test_runs_with_reports_a_store_and_a_recording(light: Light) -> None:
    written = ("--llmdiff-html=r.html", "--llmdiff-json=r.json", "--llmdiff-markdown=r.md",
               "--junit-xml=r.xml", "--llmdiff-record=run.jsonl")  # fmt: skip
    passed(light.run(*SCRIPTED, *written))
    rows = json.loads((light.folder / "r.json").read_text(encoding="utf-8"))["tests"]
    assert {row["outcome"] for row in rows} == {"passed"}
    embedded = (light.folder / "embedded.txt").read_text(encoding="utf-8")
    passed(light.run(*SCRIPTED))
    assert (light.folder / "embedded.txt").read_text(encoding="utf-8") == embedded, "from the store"
    (light.folder / "scorers.py").unlink()
    passed(light.run(*REPLAYED, "--llmdiff-html=r.html"))
    compare = "import sys; from pytest_llmdiff.__main__ import main; sys.exit(main())"
    passed(light.code(compare, "compare", "r.json", "r.json"))


@pytest.mark.slow
def test_workers_calibration_and_the_ready_made_suites(light: Light) -> None:
    passed(light.run(*SCRIPTED, "-n2"))
    passed(light.run(*SCRIPTED, "--llmdiff-calibrate=baseline.json"))
    suites = [f"pytest_llmdiff.suites.{name}" for name in ("degeneration", "refusal", "wiring")]
    result = light.run(*SCRIPTED, "--pyargs", *suites)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    for refused in REFUSED:
        assert f"No module named '{refused}" not in result.stdout


def test_a_server(light: Light, chat: ChatServer) -> None:
    passed(light.run(*chat.specs(), "--llmdiff-store=own"))
    passed(light.run(*chat.specs(), "--llmdiff-store=own"))
    asked = [times for (_, prompt), times in chat.asked.items() if prompt in (REFUND, CAPITAL)]
    assert asked == [1, 1, 1, 1], "the second run's replies are in the store"


READERS = """
from pathlib import Path
from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.training.config import read_training_config
from pytest_llmdiff.data.training.log import read_training_log
from pytest_llmdiff.data.training.traces import find_traces
from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.measures.wiring.training import training_findings

folder = Path("adapter")
assert parse_spec("adapter", option="--llm-tuned", folder=Path()).kind == "adapter"
assert list(safetensors_header(folder / "adapter_model.safetensors")) == ["a.lora_A.weight"]
assert read_training_config(Path("train.yaml")).template == "qwen"
assert find_traces(folder) is not None
assert training_findings(read_training_log(folder), looked_for="x").problems
"""


def test_an_adapters_files_are_read(light: Light) -> None:
    adapter(light.folder)
    (light.folder / "train.yaml").write_text(
        "model_name_or_path: base\ntemplate: qwen\n", encoding="utf-8"
    )
    log = [json.dumps({"loss": loss, "current_steps": n, "total_steps": 9}) for n, loss in
           enumerate([2.0, 0.0, 0.0, 0.0], 1)]  # fmt: skip
    (light.folder / "adapter" / "trainer_log.jsonl").write_text("\n".join(log), encoding="utf-8")
    passed(light.code(READERS))


def adapter(folder: Path) -> None:
    (folder / "adapter").mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    header = json.dumps({"a.lora_A.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    file = folder / "adapter" / "adapter_model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())


def weights(folder: Path) -> None:
    (folder / "weights").mkdir()
    (folder / "weights" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "weights" / "model.safetensors").touch()
    (folder / "model.gguf").touch()


TORCH = "the packages torch and transformers: "
MISSING = [
    (["--llm-base=weights", SCRIPTED[1]], f"--llm-base: weights needs {TORCH}{HF}"),
    ([SCRIPTED[0], "--llm-tuned=weights"], f"--llm-tuned: weights needs {TORCH}{HF}"),
    (["--llm-base=model.gguf", SCRIPTED[1]], f"--llm-base: model.gguf needs {TORCH}{HF}"),
    (["--llm-base=org/base", SCRIPTED[1]],
     f"--llm-base: 'org/base' is not a path here; a Hugging Face id needs {TORCH}{HF}"),
    (["--llm-tuned=adapter"],
     f"--llm-base: 'org/base' is not a path here; a Hugging Face id needs {TORCH}{HF}"),
    (["--llm-base=http://127.0.0.1:9/v1#m", SCRIPTED[1], "--llmdiff-tokenizer=weights"],
     f"--llmdiff-tokenizer: weights needs {TORCH}{HF}"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "line"), MISSING, ids=["weights", "tuned", "gguf", "hub",
                                                         "adapter", "tokenizer"])  # fmt: skip
def test_a_model_that_needs_the_extra_is_one_line(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, args: Sequence[str], line: str
) -> None:
    absent(monkeypatch)
    adapter(project.path)
    weights(project.path)
    project.makepyfile(SUITE)
    result = project.runpytest_inprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[:1] == [f"ERROR: llmdiff: {line}"]
    assert "test session starts" not in result.stdout.str()


def test_an_adapter_names_peft_too(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter(project.path)
    weights(project.path)
    project.makepyfile(SUITE)
    monkeypatch.setitem(sys.modules, "peft", None)
    result = project.runpytest_inprocess("--llm-base=weights", "--llm-tuned=adapter")
    assert result.stderr.lines[:1] == [
        f"ERROR: llmdiff: --llm-tuned: adapter needs the package peft: {HF}"
    ]


@pytest.mark.parametrize(
    ("option", "line"),
    [("--llmdiff-embedder=some/encoder",
      f"the embedder some/encoder needs the packages torch and sentence_transformers: {HF}"),
     ("--llmdiff-toxicity=detoxify:original",
      f"the toxicity scorer detoxify:original needs {TORCH}{HF}"),
     ("--llmdiff-toxicity=hf:some/classifier",
      f"--llmdiff-toxicity: hf:some/classifier needs {TORCH}{HF}")],
)  # fmt: skip
def test_a_scorer_that_needs_the_extra_is_one_line(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, line: str
) -> None:
    absent(monkeypatch)
    project.makepyfile(SUITE)
    result = project.runpytest_inprocess(*SCRIPTED, option)
    assert result.ret != 0
    assert line in result.stdout.str() + result.stderr.str()


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REFUSED:
        monkeypatch.setitem(sys.modules, name, None)
