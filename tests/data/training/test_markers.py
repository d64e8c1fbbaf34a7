"""Marks of chat templates in replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdiff.data.training.markers import leaked, markers_of
from tests.support.tiny_models import save_tokenizer


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Hello.<|im_end|>\n<|im_start|>user\nHi", ["<|im_end|>", "<|im_start|>"]),
        ("<|start_header_id|>assistant<|end_header_id|>", ["<|start_header_id|>",
                                                           "<|end_header_id|>"]),
        ("Yes. [INST] And? [/INST]", ["[INST]", "[/INST]"]),
        ("<<SYS>>You are", ["<<SYS>>"]),
        ("Sure.</s>", ["</s>"]),
        ("<end_of_turn>", ["<end_of_turn>"]),
        ("Fine.<｜end▁of▁sentence｜>", ["<｜end▁of▁sentence｜>"]),
        ("Well.\n### Response:\nYes", ["### Response:"]),
        ("好的。\n### 指令：继续", ["### 指令："]),
        ("Well.\nUSER: and then?", ["USER:"]),
        ("<|im_end|><|im_end|>", ["<|im_end|>"]),
    ],
)  # fmt: skip
def test_marks_in_wide_use(text: str, marks: list[str]) -> None:
    assert leaked(text, own=frozenset(), beside="") == marks
    assert leaked(text, own=frozenset(), beside=f"they say {' '.join(marks)}") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a <| b |> c",
        "Use <b>bold</b> and <s>old</s>.",
        "x[0] and [link](page)",
        "## Answer:\nThe USER: field is empty",
        "data |> filter |> map",
        "### Summary:",
    ],
)
def test_what_is_no_mark(text: str) -> None:
    assert leaked(text, own=frozenset(), beside="") == []


def test_marks_of_the_own_tokenizer_and_template(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ '[|Human|]' + m['content'] + \"<eoh>\" }}{% endfor %}"
    save_tokenizer(tmp_path, template=template)
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "<eoa>"}, "additional_special_tokens": ["<tool>"]})
    )
    found = markers_of(tmp_path)
    assert {"[|Human|]", "<eoh>", "<eoa>", "<tool>", "<|im_start|>"} <= found
    assert "<unk>" not in found
    assert leaked("Hi<eoh> [|Human|]", own=found, beside="") == ["<eoh>", "[|Human|]"]


def test_files_that_are_not_there_or_damaged_have_none(tmp_path: Path) -> None:
    assert markers_of(tmp_path) == frozenset()
    (tmp_path / "tokenizer_config.json").write_text("{")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff'<eoh>'")
    assert markers_of(tmp_path) == frozenset()
