"""Where chat templates are found, and which of several named ones is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdiff.engines.files.chat_templates import (
    chosen,
    gguf_names,
    has_chat_template,
    templates_in,
)
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.errors import ModelError
from tests.support.tiny_models import save_tokenizer

OTHER = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
ASKED = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("chat_template.jinja", "{{ messages }}", True),
        ("chat_template.json", "{}", False),
        ("chat_template.json", '{"chat_template": "{{ messages }}"}', True),
        ("processor_config.json", '{"chat_template": "{{ messages }}"}', True),
        ("tokenizer_config.json", '{"chat_template": [{"name": "rag", "template": "x"}]}', True),
        ("tokenizer_config.json", '{"chat_template": "{{ messages }}"}', True),
        ("tokenizer_config.json", '{"chat_template": null}', False),
        ("tokenizer_config.json", '{"bos_token": "<s>"}', False),
        ("config.json", '{"chat_template": "x"}', False),
    ],
)
def test_has_chat_template(tmp_path: Path, name: str, content: str, found: bool) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert has_chat_template(tmp_path) is found


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"GGUF..tokenizer.chat_template..", True), (b"GGUF..tokenizer.ggml..", False), (b"", False)],
    ids=["template", "none", "empty"],
)
def test_has_chat_template_in_gguf(tmp_path: Path, content: bytes, found: bool) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    assert has_chat_template(file) is found


def test_a_broken_tokenizer_config_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer_config.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is not valid JSON"):
        has_chat_template(tmp_path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"chat_template.jinja": "A"}, {"default": "A"}),
        ({"chat_template.json": '{"chat_template": "A"}'}, {"default": "A"}),
        ({"processor_config.json": '{"chat_template": "A"}'}, {"default": "A"}),
        ({"chat_template.json": '{"chat_template": {"default": "A", "rag": "B"}}'},
         {"default": "A", "rag": "B"}),
        ({"additional_chat_templates/rag.jinja": "B"}, {"rag": "B"}),
        ({"additional_chat_templates/rag.jinja": "B", "chat_template.jinja": "A"},
         {"default": "A", "rag": "B"}),
        ({"tokenizer_config.json": '{"chat_template": [{"name": "rag", "template": "B"}]}'},
         {"rag": "B"}),
        # The .jinja file is the newer place.
        ({"chat_template.json": '{"chat_template": "A"}', "chat_template.jinja": "B"},
         {"default": "B"}),
        ({"tokenizer_config.json": '{"chat_template": ""}'}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_all_places_of_templates(
    tmp_path: Path, files: dict[str, str], expected: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert templates_in(tmp_path) == expected


def test_which_one_is_used(tmp_path: Path) -> None:
    assert chosen({"rag": "B", "default": "A"}, tmp_path) == "A"
    assert chosen({"rag": "B"}, tmp_path) == "B"
    with pytest.raises(ModelError, match="have the names rag, tool_use, and none is the default"):
        chosen({"tool_use": "A", "rag": "B"}, tmp_path)
    with pytest.raises(ModelError, match="has no chat template"):
        chosen({}, tmp_path)


def test_named_templates_of_a_gguf_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    keys = (b"tokenizer.chat_templates", b"tokenizer.chat_template.rag",
            b"tokenizer.chat_template.tool_use")  # fmt: skip
    file.write_bytes(b"GGUF" + b"\x00".join(keys) + b"\x00")
    assert gguf_names(file) == ["rag", "tool_use"]
    with pytest.raises(ModelError, match="have the names rag, tool_use"):
        chosen({}, file)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("chat_template.json", json.dumps({"chat_template": OTHER})),
        ("additional_chat_templates/rag.jinja", OTHER),
        ("tokenizer_config.json", [{"name": "rag", "template": OTHER}]),
    ],
)
def test_a_tokenizer_renders_with_it(tmp_path: Path, file: str, content: object) -> None:
    save_tokenizer(tmp_path, template=None)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    target = tmp_path / file
    target.parent.mkdir(exist_ok=True)
    if not isinstance(content, str):
        content = json.dumps({**json.loads(target.read_text()), "chat_template": content})
    target.write_text(content, encoding="utf-8")
    assert Renderer(tmp_path).text(ASKED) == "[user] Hi\n"  # type: ignore[arg-type]
