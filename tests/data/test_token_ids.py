"""A tokenizer whose library panics on one text: that text fails in words, others are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.token_ids import panics_told
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.errors import ProbeError
from tests.support.tiny_models import save_tokenizer


def test_a_pattern_that_gives_up_on_one_prompt(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    split = {
        "type": "Split", "pattern": {"Regex": "(a|a|aa)+$"}, "behavior": "Isolated",
        "invert": False,
    }  # fmt: skip
    own = [told["pre_tokenizer"]] if told["pre_tokenizer"] else []
    told["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, *own]}
    file.write_text(json.dumps(told), encoding="utf-8")
    renderer = Renderer(tmp_path)
    with pytest.raises(ProbeError, match=r"tokenizer cannot read this text: .*retry-limit"):
        renderer.ids([Message(role="user", content="a" * 40 + "!")])
    assert renderer.ids([Message(role="user", content="Hi")])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), ValueError("x")])
def test_all_else_passes(error: BaseException) -> None:
    with pytest.raises(type(error)), panics_told():
        raise error
