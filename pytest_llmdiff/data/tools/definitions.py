"""The tools that a model is offered: JSON schemas in the form of OpenAI's API.

They are a part of the conversation, in its first message: whatever depends on the messages (keys,
recordings, renderings) then depends on the tools, too.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.tools.calls import plain_copy, read_json

if TYPE_CHECKING:
    from pytest_llmdiff.data.messages import Message

EXPECTED = (
    'expected a list of tools, each {"name": "...", "description": "...", "parameters": '
    '{JSON schema}}, or that as {"type": "function", "function": {...}}'
)


def parse_tools(value: object) -> tuple[dict[str, Any], ...]:
    """Definitions of tools, which may also come as a JSON text.

    Raises:
        ValueError: they are none; the message says what is expected.
    """
    if isinstance(value, str):
        try:
            value = read_json(value) if value.strip() else []
        except ValueError as error:
            raise ValueError(f"got {reprlib.repr(value)}, {error}; {EXPECTED}") from error
    items = value.tolist() if hasattr(value, "tolist") else value
    items = [items] if isinstance(items, Mapping) else items
    if items is None:
        return ()
    if not isinstance(items, Sequence) or isinstance(items, (str, bytes)):
        raise ValueError(f"got {reprlib.repr(value)}; {EXPECTED}")
    tools = tuple(map(_tool, items))
    names = [name_of(tool) for tool in tools]
    if len(set(names)) < len(names):
        raise ValueError(f"two tools have the same name ({', '.join(names)}); expected names once")
    return tools


def _tool(item: object) -> dict[str, Any]:
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name.strip():
        raise ValueError(f"got the tool {reprlib.repr(item)}; {EXPECTED}")
    parameters = inner.get("parameters")
    if isinstance(parameters, str):  # columns of a table have one type
        parameters = read_json(parameters)
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ValueError(f"got the parameters {reprlib.repr(parameters)} of {name!r}; {EXPECTED}")
    # Columns of a table have nulls where a tool has nothing.
    kept = {key: held for key, held in inner.items() if held is not None}
    if parameters is not None:
        kept["parameters"] = dict(parameters)
    return {"type": "function", "function": plain_copy(kept)}


def name_of(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"])


def tools_of(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools that a conversation offers."""
    return [tool for message in messages for tool in message.get("tools", ())]


def names_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name_of(tool) for tool in tools_of(messages)]


def with_tools(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """The conversation with these tools in its first message, and in no other."""
    first, *rest = without_tools(messages)
    return ({**first, "tools": list(tools)}, *rest) if tools else (first, *rest)


def without_tools(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages alone, as templates and servers take them."""
    return tuple(_without(message, "tools") for message in messages)


def without_calls(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages without the calls of earlier turns."""
    return tuple(_without(message, "tool_calls") for message in messages)


def _without(message: Message, key: str) -> Message:
    if key not in message:
        return message
    return {name: held for name, held in message.items() if name != key}  # type: ignore[return-value]
