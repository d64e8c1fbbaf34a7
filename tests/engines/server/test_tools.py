"""Tools at servers: what they are sent, and the calls that they answer with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmdiff import ToolCall
from pytest_llmdiff.data.messages import parse_messages
from pytest_llmdiff.engines.server.completions import generated_of
from pytest_llmdiff.engines.server.tools import ollama_form
from tests.support.chat_server import ChatServer, Handler, completion, running
from tests.support.other_servers import OllamaHandler, OllamaServer

ARGUMENTS = {"city": "Paris"}
CALL = {"name": "weather", "arguments": ARGUMENTS}
AS_TEXT = {"name": "weather", "arguments": json.dumps(ARGUMENTS)}
SUITE = """
import pytest
from pytest_llmdiff import assert_tool_calls, tool_calls

TOOLS = [{"name": "weather"}, {"name": "time"}]
CALL = '{"name": "weather", "arguments": {"city": "Paris"}}'

@pytest.mark.llmdiff("Sunny?", reference=CALL, tools=TOOLS)
def test_called(comparison):
    assert tool_calls(comparison).details["base"] == 1
    assert tool_calls(comparison).details["fault"] == "no call where one is due"
    assert comparison.base.text == CALL, "an empty text beside calls is what the model called"

@pytest.mark.llmdiff(
    [
        {"role": "user", "content": "Sunny?"},
        {"role": "function_call", "content": CALL},
        {"role": "observation", "content": "yes"},
    ],
    reference="none", tools=TOOLS,
)
def test_answered(comparison):
    assert tool_calls(comparison).value == 1
"""


def calling(handler: Handler, body: dict[str, Any]) -> bool:
    """The base calls the tool; the tuned model does not."""
    if body["model"] != "base" or body["messages"][-1]["role"] == "tool":
        return False
    message = {"role": "assistant", "content": None,
               "tool_calls": [{"id": "1", "type": "function", "function": AS_TEXT}]}  # fmt: skip
    handler.send_json(completion("base", "", message=message, finish_reason="tool_calls"))
    return True


def test_a_run(pytester: pytest.Pytester, mode: list[str]) -> None:
    pytester.makepyfile(SUITE)
    with running(ChatServer(faults=(calling,))) as chat:
        pytester.runpytest_inprocess(*chat.specs(), *mode).assert_outcomes(passed=2)
        pytester.runpytest_inprocess(*chat.specs(), *mode).assert_outcomes(passed=2)
    asked = [body for body in chat.bodies if body["messages"][0]["content"] == "Sunny?"]
    assert len(asked) == 4, "the second run has the calls from the store"
    for body in asked:
        names = [tool["function"]["name"] for tool in body["tools"]]
        assert names == ["weather", "time"]
        assert "tools" not in body["messages"][0]
    sent = next(body["messages"] for body in asked if len(body["messages"]) > 1)
    (call,) = sent[1]["tool_calls"]
    assert call["function"] == AS_TEXT, "OpenAI's API takes arguments as text"
    assert sent[2] == {"role": "tool", "content": "yes", "tool_call_id": call["id"]}
    assert all("tools" not in body for body in chat.bodies if body not in asked)


def test_ollama_takes_and_returns_values() -> None:
    called = parse_messages([
        {"role": "user", "content": "Sunny?"}, {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "yes"},
    ])  # fmt: skip
    assert ollama_form(called) == {
        "messages": [
            {"role": "user", "content": "Sunny?"},
            {"role": "assistant", "content": "", "tool_calls": [{"function": CALL}]},
            {"role": "tool", "content": "yes", "tool_name": "weather"},
        ]
    }


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"tool_calls": [{"function": AS_TEXT}]}, [CALL]),
        ({"tool_calls": [{"function": CALL}, {"function": {"name": "time"}}]},
         [CALL, {"name": "time", "arguments": {}}]),
        ({"function_call": AS_TEXT}, [CALL]),
        ({"tool_calls": [{"function": {"name": "weather", "arguments": "{"}}]},
         [{"name": "weather", "arguments": "{"}]),
        ({"tool_calls": ["weather"]}, [{"name": "", "arguments": "weather"}]),
        ({"tool_calls": "weather"}, [{"name": "", "arguments": "weather"}]),
        ({"tool_calls": [None]}, [{"name": "", "arguments": "None"}]),
        ({"tool_calls": [{"function": {"name": "a", "arguments": {"b": float("nan")}}}]},
         [{"name": "", "arguments": "{'function': {'name': 'a', 'arguments': {'b': nan}}}"}]),
        ({"tool_calls": None}, []),
    ],
)  # fmt: skip
def test_calls_of_an_answer(message: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    found = generated_of(completion("base", "", message={"content": "", **message}))
    assert found.reply is not None
    assert found.reply.tool_calls == tuple(ToolCall(**call) for call in calls)


def test_a_run_at_ollama(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE.partition("@pytest.mark.llmdiff(\n")[0])

    class Calling(OllamaHandler):
        def send_json(self, value: Any, *args: Any) -> None:
            if self.path == "/api/chat" and "base on Sunny?" in json.dumps(value):
                value["message"] = {**value["message"], "content": "",
                                    "tool_calls": [{"function": CALL}]}  # fmt: skip
            super().send_json(value, *args)

    with running(OllamaServer(), Calling) as ollama:
        specs = (f"--llm-{side}={ollama.api}#{side}" for side in ("base", "tuned"))
        pytester.runpytest_inprocess(*specs).assert_outcomes(passed=1)
    assert [body["tools"][0]["function"]["name"] for body in ollama.bodies if "tools" in body] == [
        "weather", "weather",
    ]  # fmt: skip
