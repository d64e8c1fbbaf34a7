"""Recordings that are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.engines.replay import KIND, VERSION, ReplayEngine
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.store import Store

ASKED: list[Message] = [{"role": "user", "content": "Hi"}]
ROW = {"kind": "reply", "side": "base", "request": "key", "messages": ASKED, "prompt_ids": "AQI="}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"messages": ...}, "line 2: it lacks 'messages'"),
        ({"messages": "Hi"}, "line 2 is damaged"),
        ({"prompt_ids": ...}, "is damaged at 'Hi'"),
        ({"prompt_ids": 5}, "is damaged at 'Hi'"),
    ],
)
def test_a_reply_that_lacks_something_is_one_error(
    tmp_path: Path, damage: dict[str, Any], said: str
) -> None:
    row = {key: value for key, value in {**ROW, **damage}.items() if value is not ...}
    rows = ({"kind": KIND, "version": VERSION}, row)
    lines = "".join(json.dumps(each) + "\n" for each in rows)
    (tmp_path / "run.jsonl").write_text(lines, encoding="utf-8")
    engine = ReplayEngine(tmp_path / "run.jsonl", "base", Store(tmp_path / "store"))
    with pytest.raises(LLMDiffError, match=said):
        engine.render(ASKED)
