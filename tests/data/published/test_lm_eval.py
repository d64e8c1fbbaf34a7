"""Tasks of lm-evaluation-harness on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.errors import ProbeFileError
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

DOCS = [
    {"question": "Which is a mammal?", "choices": {"text": ["lizard", "dolphin"]}, "key": 1},
    {"question": " 哪个是水果？ ", "choices": {"text": ["苹果", "石头"]}, "key": 0},
]
TASK = {
    "task": "animals",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl", "dev": "dev.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question.strip()}}\nAnswer:",
    "doc_to_choice": "{{choices.text}}",
    "doc_to_target": "key",
    "metadata": {"version": 1.0},
}


def task(folder: Path, text: str = "", **keys: Any) -> str:
    lines = "".join(json.dumps(doc) + "\n" for doc in DOCS)
    (folder / "docs.jsonl").write_text(lines, encoding="utf-8")
    (folder / "dev.jsonl").write_text(lines.splitlines()[0], encoding="utf-8")
    held = {key: value for key, value in (TASK | keys).items() if value is not None}
    (folder / "task.yaml").write_text(yaml.safe_dump(held) + text, encoding="utf-8")
    return "task.yaml"


def read(folder: Path, file: str = "task.yaml") -> list[Probe]:
    return probes_of_marker((), {"file": file}, folder=folder)


def test_a_multiple_choice(tmp_path: Path) -> None:
    first, second = read(tmp_path, task(tmp_path))
    assert first.prompt == (
        "Question: Which is a mammal?\nA. lizard\nB. dolphin\nAnswer with the letter."
    )
    assert (first.reference, first.id, first.tags) == ("B", "animals-1", ("animals",))
    assert (second.reference, second.prompt.splitlines()[1]) == ("A", "A. 苹果")
    (only,) = read(tmp_path, "task.yaml#dev")
    assert only == first


@pytest.mark.parametrize(
    "keys",
    [
        {"doc_to_target": "{{ choices.text[key] }}"},
        {"doc_to_target": "{{ key }}"},
        {"doc_to_text": "question", "doc_to_choice": ["lizard", "dolphin"], "doc_to_target": 1},
    ],
)
def test_the_right_option_by_number_text_or_column(tmp_path: Path, keys: dict[str, Any]) -> None:
    assert read(tmp_path, task(tmp_path, **keys))[0].reference == "B"


def test_a_question_that_has_its_letters_stays(tmp_path: Path) -> None:
    text = "{{question}}\nA. {{choices.text[0]}}\nB. {{choices.text[1]}}\nAnswer:"
    (first, _) = read(tmp_path, task(tmp_path, doc_to_text=text, doc_to_choice=["A", "B"]))
    assert first.prompt == "Which is a mammal?\nA. lizard\nB. dolphin\nAnswer:"


def test_a_task_that_generates(tmp_path: Path) -> None:
    keys = {"output_type": "generate_until", "doc_to_target": "{{choices.text[key]}}"}
    (first, _) = read(tmp_path, task(tmp_path, **keys, description="Be {{question[0]}}.\n"))
    assert first.reference == "dolphin"
    assert first.messages[0] == {"role": "system", "content": "Be W."}


def test_included_keys(tmp_path: Path) -> None:
    (tmp_path / "_default").write_text(
        "output_type: multiple_choice\ndoc_to_target: key\nprocess_results: !function a.b\n"
    )
    file = task(tmp_path, output_type=None, doc_to_target=None, include="_default")
    assert [probe.reference for probe in read(tmp_path, file)] == ["B", "A"]
    (tmp_path / "_default").write_text("include: _default\n")
    with pytest.raises(ProbeFileError, match=r"include: got '_default'; .* at most 5 deep"):
        read(tmp_path, file)


@pytest.mark.parametrize(
    ("text", "keys", "told"),
    [
        ("process_docs: !function utils.docs", {}, "process_docs: this is code .!function utils"),
        ("doc_to_text: !function u.t", {"doc_to_text": None}, "doc_to_text: this is code"),
        ("x: !!python/object/apply:os.system [ls]", {}, "not readable as YAML"),
        ("a: &a [1]\nb: &b [*a, *a, *a]\nc: !function [1]", {}, "stands before no text"),
        ("", {"output_type": "loglikelihood"}, "expected one of multiple_choice, generate_until"),
        ("", {"doc_to_target": None}, "it has no doc_to_target"),
        ("", {"doc_to_choice": None}, "line 1: the task has no doc_to_choice"),
        ("", {"doc_to_choice": "{{ question }}"}, "the options are None; expected a list"),
        ("", {"doc_to_choice": "{{ '(' * 90000 }}"}, "expected a list of 2 to 26"),
        ("", {"doc_to_target": "question"}, "the right option is 'Which is"),
        ("", {"doc_to_target": 2}, "the right option is 2; expected its number"),
        ("", {"doc_to_text": "{{ qestion }}"}, "line 1: doc_to_text: .*'qestion' is undefined"),
        ("", {"doc_to_text": "{{ ('a' * 10 ** 10) }}"}, "more than 1 GB"),
        ("", {"doc_to_text": "{{ ''.__class__.__mro__ }}"}, "unsafe"),
        ("", {"dataset_kwargs": {"data_files": "https://x/a.json"}}, "not on this machine"),
        ("", {"dataset_kwargs": {"data_files": "none.jsonl"}}, "none.jsonl: no such file"),
        ("", {"test_split": None}, "expected the task's dataset_path, and test_split"),
        ("", {"dataset_path": None}, "expected the task's dataset_path"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ProbeFileError, match=told):
        read(tmp_path, task(tmp_path, text, **keys))


def test_neither_a_task_nor_a_config(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("stage: sft\n")
    with pytest.raises(ProbeFileError, match="neither a task of lm-eval"):
        read(tmp_path, "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(ProbeFileError, match="this is no mapping"):
        read(tmp_path, "a.yaml")
    with pytest.raises(ProbeFileError, match=r"no.yaml: cannot be read .No such file"):
        read(tmp_path, "no.yaml")
    with pytest.raises(ProbeFileError, match=r"columns=... is for files of records"):
        probes_of_marker((), {"file": "a.yaml", "columns": {"prompt": "question"}}, folder=tmp_path)
