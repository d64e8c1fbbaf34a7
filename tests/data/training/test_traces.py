"""What a training leaves beside its weights: settings, templates, prompts, and who made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff.config.specs import parse_spec
from pytest_llmdiff.data.training.config import read_training_config
from pytest_llmdiff.data.training.template_source import read_training_source
from pytest_llmdiff.data.training.traces import LOOKED_FOR, PREDICTIONS, Traces, find_traces
from pytest_llmdiff.data.training.training import find_training
from pytest_llmdiff.errors import ConfigError
from tests.support.engines import settings

YAML = """\
### model
model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
stage: sft
do_train: true
finetuning_type: lora
lora_target: all
dataset: support, identity
template: smollm2
cutoff_len: 96
learning_rate: 1e-4
num_train_epochs: 3
"""


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _card(folder: Path, *tags: str) -> None:
    lines = "".join(f"- {tag}\n" for tag in tags)
    _write(folder / "README.md", f"---\nlibrary_name: peft\ntags:\n{lines}---\n\n# A model\n")


# Settings


def test_settings_of_a_training_yaml(tmp_path: Path) -> None:
    file = _write(tmp_path / "train.yaml", YAML)
    config = read_training_config(file)
    assert config.source == str(file)
    assert config.template == "smollm2"
    assert config.dataset == ("support", "identity")
    assert config.learning_rate == pytest.approx(1e-4)  # which YAML 1.1 reads as text
    assert (config.epochs, config.cutoff_len, config.max_steps) == (3.0, 96, None)
    assert (config.stage, config.finetuning_type) == ("sft", "lora")
    assert (config.enable_thinking, config.preserve_thinking) == (True, False)
    assert config.packing is None
    assert (config.dataset_dir, config.default_system) == (None, None)
    assert (config.train_on_prompt, config.mask_history) == (False, False)


def test_other_spellings(tmp_path: Path) -> None:
    given = {
        "template": "qwen3", "enable_thinking": False, "neat_packing": True, "max_steps": 7,
        "dataset": ["a", " b "], "train_on_prompt": True, "learning_rate": 2, "other": [1],
        "preserve_thinking": True,
    }  # fmt: skip
    file = _write(tmp_path / "train.json", "\ufeff" + json.dumps(given, indent="\t"))
    config = read_training_config(file)
    assert (config.enable_thinking, config.preserve_thinking) == (False, True)
    assert config.packing is True
    assert config.dataset == ("a", "b")
    assert (config.train_on_prompt, config.learning_rate, config.max_steps) == (True, 2.0, 7)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("stage: sft\ntemplate: [qwen\n", 3, "broken YAML"),
        ("- template\n", 1, "no settings"),
        ("", 1, "no settings"),
        ("# cutoff_len: 1\nstage: sft\ncutoff_len: long\n", 3, "cutoff_len is 'long'"),
        ("stage: sft\ncutoff_len: true\n", 2, "expected a whole number"),
        ("enable_thinking: 'no'\n", 1, "expected true or false"),
        ("preserve_thinking: 1\n", 1, "expected true or false"),
        ("a: 1\n\nlearning_rate: fast\n", 3, "expected a number"),
        ("a: 1\ntemplate: 7\n", 2, "expected a text"),
        ("dataset: {a: 1}\n", 1, "list of names"),
        ("day: 2024-13-45\n", None, "broken YAML"),
    ],
)
def test_faults_have_their_line(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    file = _write(tmp_path / "train.yaml", text)
    with pytest.raises(ConfigError) as caught:
        read_training_config(file)
    place = str(file) if line is None else f"{file}, line {line}:"
    assert str(caught.value).startswith(place)
    assert words in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_training_config(tmp_path / "none.yaml")
    file = tmp_path / "train.yaml"
    file.write_bytes(b"stage: sft\ntemplate: \xff\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_training_config(file)
    with pytest.raises(ConfigError, match=r"line 2: broken JSON"):
        read_training_config(_write(tmp_path / "train.json", '{"template":\n}'))


FACTORY = """
register_template(
    name="thinking",
    format_user=StringFormatter(slots=["[{{content}}]"]),
    template_class=ReasoningTemplate,
)
"""


@pytest.mark.parametrize(
    ("setting", "enabled", "preserved"),
    [
        ("", True, False),
        ("enable_thinking: true\n", True, False),
        ("enable_thinking: false\npreserve_thinking: true\n", False, True),
        ("enable_thinking: null\npreserve_thinking: null\n", None, False),
        ("enable_thinking:\n", None, False),
    ],
)
def test_thinking_reaches_the_template(
    tmp_path: Path, setting: str, enabled: bool | None, preserved: bool
) -> None:
    """No setting is LLaMA-Factory's default, which null is not."""
    source = _write(tmp_path / "template.py", FACTORY)
    file = _write(tmp_path / "train.yaml", "template: thinking\n" + setting)
    found, config = read_training_source(
        str(file), option="--x", folder=tmp_path, llamafactory=source
    )
    assert config is not None
    assert (config.enable_thinking, config.preserve_thinking) == (enabled, preserved)
    assert found is not None
    assert found.factory is not None
    assert (found.factory.enable_thinking, found.factory.preserve_thinking) == (enabled, preserved)


@given(rate=st.floats(min_value=1e-9, max_value=1, allow_subnormal=False))
def test_every_spelling_of_a_rate(tmp_path_factory: Any, rate: float) -> None:
    file = tmp_path_factory.mktemp("rate") / "train.yaml"
    for text in (f"learning_rate: {rate!r}\n", yaml.safe_dump({"learning_rate": rate})):
        assert read_training_config(_write(file, text)).learning_rate == rate


# Traces


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    traces = find_traces(tmp_path)
    assert traces == Traces()
    assert traces.looked_for[0] == "training_args.yaml"
    assert {"Modelfile", "chat_template.jinja", "generated_predictions.jsonl"} <= set(LOOKED_FOR)


@pytest.mark.parametrize(
    ("tags", "maker"),
    [
        (("base_model:adapter:x", "llama-factory", "lora", "transformers"), "llamafactory"),
        (("llama-factory", "lora", "unsloth"), "llamafactory"),
        (("generated_from_trainer", "trl", "sft"), "trl"),
        (("generated_from_trainer", "unsloth", "trl", "sft"), "unsloth"),
        (("axolotl", "trl"), "axolotl"),
        (("generated_from_trainer",), None),
    ],
)
def test_the_card_says_who_trained(tmp_path: Path, tags: tuple[str, ...], maker: str) -> None:
    _card(tmp_path, *tags)
    assert find_traces(tmp_path).maker == maker


@pytest.mark.parametrize(
    ("name", "text", "maker"),
    [
        ("trainer_log.jsonl", '{"current_steps": 5}\n', "llamafactory"),
        ("llamaboard_config.yaml", "top.template: qwen3\n", "llamafactory"),
        ("Modelfile", "# ollama modelfile auto-generated by llamafactory\n\nFROM .\n",
         "llamafactory"),
        ("Modelfile", "FROM ./model.gguf\n", None),
        ("adapter_config.json", '{"peft_type": "LORA"}', "peft"),
        ("README.md", "---\ntags: trl\n---\n", "trl"),
        ("README.md", "# by hand, with trl\n- trl\n", None),
        ("README.md", "---\ntags: [trl\n---\n", None),
    ],
)  # fmt: skip
def test_other_files_say_who_trained(
    tmp_path: Path, name: str, text: str, maker: str | None
) -> None:
    _write(tmp_path / name, text)
    assert find_traces(tmp_path).maker == maker


def test_traces_of_the_web_board(tmp_path: Path) -> None:
    """A training by LLaMA-Factory's web board, whose checkpoint is compared."""
    _write(tmp_path / "training_args.yaml", YAML)
    _write(tmp_path / "old.yaml", YAML.replace("smollm2", "alpaca"))
    _write(tmp_path / "trainer_log.jsonl", '{"current_steps": 5}\n')
    checkpoint = tmp_path / "checkpoint-20"
    _write(checkpoint / "chat_template.jinja", "{{ messages }}")
    _card(checkpoint, "base_model:adapter:x", "lora")
    traces = find_traces(checkpoint)
    assert traces.maker == "llamafactory"
    assert traces.config is not None
    assert traces.config.template == "smollm2"
    assert traces.chat_template == checkpoint / "chat_template.jinja"
    assert tmp_path.name in traces.looked_for[-1]
    _write(tmp_path / "other" / "chat_template.jinja", "x")
    assert find_traces(tmp_path / "other") == Traces(
        chat_template=tmp_path / "other" / "chat_template.jinja"
    )


def test_a_copied_training_yaml(tmp_path: Path) -> None:
    _write(tmp_path / "a_chart.yaml", "template: {spec: 1}\n")
    _write(tmp_path / "b_broken.yaml", "}{\n")
    _write(tmp_path / "c_chat.yaml", "template: empty\nadapter_name_or_path: .\n")
    (tmp_path / "d.yaml").mkdir()
    assert (config := find_traces(tmp_path).config) is not None
    assert config.template == "empty"
    _write(tmp_path / "train.yml", YAML)
    assert (config := find_traces(tmp_path).config) is not None
    assert config.template == "smollm2"  # what trains counts before what serves
    _write(tmp_path / "again.yaml", YAML)
    assert find_traces(tmp_path).config is not None
    _write(tmp_path / "wrong.yaml", YAML.replace("smollm2", "alpaca"))
    with pytest.raises(ConfigError, match=r"train\.yml \(smollm2\), wrong\.yaml \(alpaca\)"):
        find_traces(tmp_path)


def test_predictions_are_distinct_and_capped(tmp_path: Path) -> None:
    file = tmp_path / "generated_predictions.jsonl"
    rows = [{"prompt": f"a\u2028{i // 2}", "predict": "b", "label": "c"} for i in range(500)]
    _write(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    traces = find_traces(tmp_path)
    assert traces.predictions_file == file
    assert traces.predictions == tuple(f"a\u2028{i}" for i in range(PREDICTIONS))


def test_the_template_in_the_tokenizer_config(tmp_path: Path) -> None:
    config = _write(tmp_path / "tokenizer_config.json", '{"chat_template": null}')
    assert find_traces(tmp_path).chat_template is None
    _write(config, '{"chat_template": "{{ messages }}"}')
    assert find_traces(tmp_path).chat_template == config
    template = _write(tmp_path / "chat_template.jinja", "{{ messages }}")
    assert find_traces(tmp_path).chat_template == template


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("training_args.yaml", "stage: sft\ntemplate: [\n", ", line 3"),
        ("copy.yaml", "template: qwen3\ncutoff_len: x\n", ", line 2"),
        ("generated_predictions.jsonl", '{"prompt": "a"}\n{"prompt"\n', ", line 2"),
        ("generated_predictions.jsonl", '\n{"predict": "a"}\n', ", line 2"),
        ("generated_predictions.jsonl", "[]\n", ", line 1"),
        ("tokenizer_config.json", "{\n", ", line 2"),
        ("tokenizer_config.json", f'{{"n": {"9" * 5000}}}', ", line 1"),
    ],
)
def test_a_damaged_trace_is_named(tmp_path: Path, name: str, text: str, place: str) -> None:
    file = _write(tmp_path / name, text)
    with pytest.raises(ConfigError) as caught:
        find_traces(tmp_path)
    assert str(caught.value).startswith(f"{file}{place}")


def test_a_modelfile_of_another_shape_hides_nothing(tmp_path: Path) -> None:
    """What it lacks is said beside all that was looked for."""
    adapter = tmp_path / "tuned"
    _write(adapter / "adapter_config.json", "{}")
    _write(adapter / "adapter_model.safetensors", "")
    spec = parse_spec("tuned", option="--llm-tuned", folder=tmp_path)
    bare = find_training(spec, settings(tmp_path)).unknown
    assert bare.startswith("nothing in tuned names the template of the training (looked for ")
    _write(adapter / "Modelfile", "FROM ./model.gguf\n")
    found = find_training(spec, settings(tmp_path))
    assert found.template is None
    assert found.unknown.startswith(f"{bare}; this Modelfile is not one that LLaMA-Factory exports")
    (adapter / "Modelfile").write_bytes(b"FROM x\n\xff\n")
    _card(adapter, "llama-factory")
    assert "Modelfile, line 2: expected UTF-8" in find_training(spec, settings(tmp_path)).unknown
