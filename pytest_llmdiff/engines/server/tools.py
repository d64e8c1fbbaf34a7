"""Conversations with tools as servers take them, and the calls that they answer with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.tools.calls import ToolCall, readable_calls
from pytest_llmdiff.data.tools.definitions import tools_of, without_tools


def openai_form(messages: Sequence[Message]) -> dict[str, Any]:
    """`messages` and, where there are any, `tools` of a request to OpenAI's API."""
    return _body([_with_texts(message) for message in without_tools(messages)], messages)


def ollama_form(messages: Sequence[Message]) -> dict[str, Any]:
    """The same for Ollama's own API: arguments are values, and a result names its tool."""
    names: dict[str, str] = {}
    sent = []
    for message in without_tools(messages):
        calls = message.get("tool_calls", ())
        names |= {call["id"]: call["function"]["name"] for call in calls}
        one: dict[str, Any] = {"role": message["role"], "content": message["content"]}
        if calls:
            one["tool_calls"] = [{"function": call["function"]} for call in calls]
        named = message.get("name") or names.get(message.get("tool_call_id", ""))
        if named is not None:
            one["tool_name"] = named
        sent.append(one)
    return _body(sent, messages)


def _body(sent: list[dict[str, Any]], messages: Sequence[Message]) -> dict[str, Any]:
    tools = tools_of(messages)
    return {"messages": sent, "tools": tools} if tools else {"messages": sent}


def _with_texts(message: Message) -> dict[str, Any]:
    """A message with the arguments of its calls as JSON texts."""
    if "tool_calls" not in message:
        return dict(message)
    calls = [
        {**call, "function": {
            **call["function"],
            "arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False),
        }}
        for call in message["tool_calls"]
    ]  # fmt: skip
    return {**message, "tool_calls": calls}


def calls_of_message(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The calls in a server's message: `tool_calls`, or the older `function_call`."""
    given = message.get("tool_calls") or message.get("function_call") or ()
    items = [given] if isinstance(given, Mapping) else given
    if not isinstance(items, list):
        items = [items] if items else []
    return readable_calls(items)
