"""Conversations with tools: templates show them, or the probe is an error that says so."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from pytest_llmdiff import Generated, Request, ToolCall
from pytest_llmdiff.data.messages import Message, parse_messages
from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.data.tools.definitions import parse_tools, with_tools, without_tools
from pytest_llmdiff.engines.files.rendering import Renderer
from pytest_llmdiff.engines.files.replies import reply_of_tokens
from pytest_llmdiff.engines.files.template_process import ChatTemplates
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.generation.tool_calls import with_calls
from tests.support.tiny_models import CHATML, save_tokenizer

WEATHER = {"name": "weather", "description": "Ask for the sky."}
CALL: dict[str, Any] = {"name": "weather", "arguments": {"city": "Paris"}}
SHOWING = (
    "{% if tools %}{% for tool in tools %}{{ tool.function.name }}: "
    "{{ tool.function.description }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for call in m.tool_calls or [] %}<call>{{ call.function.name }}("
    "{{ call.function.arguments | tojson }}){% endfor %}{% endfor %}"
)
SILENT = SHOWING.replace("m.tool_calls or []", "[]")


def conversation(*, called: bool) -> tuple[Message, ...]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Sunny?"}]
    if called:
        turns += [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "yes"}]
    return with_tools(parse_messages(turns), parse_tools([WEATHER]))


def renderer(folder: Path, template: str) -> Renderer:
    save_tokenizer(folder, template=template)
    return Renderer(folder)


def test_a_template_gets_tools_and_calls(tmp_path: Path) -> None:
    text = renderer(tmp_path, SHOWING).text(conversation(called=True))
    assert text == (
        "weather: Ask for the sky.\n[user]Sunny?[assistant]"
        '<call>weather({"city": "Paris"})[tool]yes'
    )


@pytest.mark.parametrize(
    ("template", "called", "part"),
    [(CHATML, False, "tools"), (CHATML, True, "tools"), (SILENT, True, "calls of tools")],
)
def test_a_template_that_leaves_them_out(
    tmp_path: Path, template: str, called: bool, part: str
) -> None:
    with pytest.raises(ProbeError, match=rf"leaves out the {part} of .* --llmdiff-template"):
        renderer(tmp_path, template).ids(conversation(called=called))


RESPONSE = {
    "start_anchor": "[assistant]",
    "fields": {
        "content": {},
        "tool_calls": {
            "open": "<call>", "close": "</call>", "content": "json", "repeats": True,
            "transform": {"type": "function", "function": "{content}"},
        },
    },
}  # fmt: skip


def test_calls_by_the_tokenizers_own_template() -> None:
    if not hasattr(PreTrainedTokenizerBase, "parse_response"):
        pytest.skip("this release of transformers reads no replies")
    process = ChatTemplates()
    said = f"Wait.<call>{json.dumps(CALL)}</call><call>{json.dumps(CALL)}</call>"
    found = process.calls(said, RESPONSE, prefix="[user]Sunny?[assistant]", tools=[])
    assert found == (ToolCall(**CALL),) * 2
    for reply, template in ((said, {"fields": 7}), (said, "x"), ("<call>{", RESPONSE)):
        with pytest.raises(ProbeError, match="the response template does not fit this reply"):
            process.calls(reply, template, prefix="", tools=[])
    process.close()


def test_calls_among_special_tokens(tmp_path: Path) -> None:
    """The text of a reply lacks special tokens, and with them the mark of a call."""
    tokenizer = save_tokenizer(tmp_path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]", "[ARGS]"]})
    ids = tuple(tokenizer.encode('[TOOL_CALLS]weather[ARGS]{"city": "Paris"}<|im_end|>'))
    reply = reply_of_tokens(tokenizer, [], ids, stopped=True)
    assert "TOOL" not in reply.text
    messages = conversation(called=False)
    engine: Any = SimpleNamespace(tokenizer=tokenizer)
    for asked, calls in ((messages, (ToolCall(**CALL),)), (without_tools(messages), ())):
        request = Request(asked, Sampling(max_new_tokens=9))
        found = with_calls(Generated(reply=reply), request, engine).reply
        assert found is not None
        assert found.tool_calls == calls, "calls are read where tools are offered"
    tokenizer.response_template = RESPONSE
    said = tuple(tokenizer.encode(f"<call>{json.dumps(CALL)}</call>"))
    reply = reply_of_tokens(tokenizer, [], said, stopped=True)
    request = Request(messages, Sampling(max_new_tokens=9))
    found = with_calls(Generated(reply=reply), request, engine).reply
    assert found is not None
    assert found.tool_calls == (ToolCall(**CALL),)
