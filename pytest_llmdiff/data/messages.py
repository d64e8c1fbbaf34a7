"""Chat messages, and the prompts that probe files and markers accept."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, TypeGuard

from pytest_llmdiff.data.tools.calls import ToolCall, as_json, parse_calls
from pytest_llmdiff.data.tools.definitions import parse_tools, with_tools

ROLES = ("system", "user", "assistant", "tool")
# What LLaMA-Factory's data and OpenAI's older API call the roles of calls and of their results.
OTHER_ROLES = {"function_call": "assistant", "observation": "tool", "function": "tool"}
CALLING = ("tool_calls", "function_call")
ANSWERING = ("tool_call_id", "name")
OPTIONAL = ("tools", *CALLING, *ANSWERING)
OF_TOOLS = (
    "the first message may also have 'tools', one of the assistant 'tool_calls', and one of a tool "
    "'tool_call_id' and 'name'"
)


class Message(TypedDict):
    """One message. The first one may have the `tools` that the model is offered, one of the
    assistant `tool_calls`, and one with the role "tool" the id of the call that it answers and the
    tool's name; all in the form of OpenAI's API, but with arguments as values by name."""

    role: str
    content: str
    tools: NotRequired[list[dict[str, Any]]]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


def parse_messages(value: object) -> tuple[Message, ...]:
    """A prompt, or a list of messages that ends with a user or tool message, as messages.

    Raises:
        ValueError: it is neither; the message says what was expected.
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"the prompt is blank ({value!r}); expected some text")
        _require_whole(value, "the prompt")
        return (Message(role="user", content=str(value)),)

    # Arrays of numpy and pyarrow are not registered as Sequence; both offer tolist().
    items = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(items, (str, bytes, bytearray)) or not isinstance(items, Sequence):
        raise ValueError(
            f"got {reprlib.repr(value)}; expected a string or a list of messages "
            "with 'role' and 'content'"
        )
    if not items:
        raise ValueError("the list of messages is empty; expected at least one message")

    messages = tuple(_parse_message(number, item) for number, item in enumerate(items, 1))
    for number, message in enumerate(messages[1:], 2):
        if message["role"] == "system":
            raise ValueError(
                f"message {number} has the role 'system'; expected a system message only as "
                "the first one"
            )
    last_role = messages[-1]["role"]
    if last_role not in ("user", "tool"):
        raise ValueError(
            f"the last message has the role {last_role!r}; expected 'user' or 'tool', "
            "since the model answers the last message"
        )
    messages = _identified(messages)
    tools = items[0].get("tools")
    return messages if tools is None else with_tools(messages, parse_tools(tools))


def _parse_message(number: int, item: object) -> Message:
    if not isinstance(item, Mapping):
        raise ValueError(
            f"message {number} is {reprlib.repr(item)}; expected a mapping "
            "with 'role' and 'content'"
        )
    # Columns of a table have nulls where a message has nothing.
    given = {key for key in item if key not in OPTIONAL or item[key] not in (None, [], ())}
    calls = _calls(number, item)
    role = item.get("role")
    role = OTHER_ROLES.get(role, role) if isinstance(role, str) else role
    known = {"role", "content", *(CALLING if calls else ())}
    known |= {"tools"} if number == 1 else set()
    known |= set(ANSWERING) if role == "tool" else set()
    if not {"role", "content"} - ({"content"} if calls else set()) <= given or given - known:
        keys = ", ".join(repr(key) for key in item) or "none"
        raise ValueError(
            f"message {number} has the keys {keys}; expected exactly 'role' and 'content'"
            + (f" ({OF_TOOLS})" if given & {"tools", *CALLING, *ANSWERING[:1]} else "")
        )
    content = item.get("content")
    if role not in ROLES:
        raise ValueError(
            f"message {number} has the role {reprlib.repr(role)}; "
            f"expected one of {', '.join(map(repr, ROLES))}"
        )
    content = "" if calls and (content is None or item["role"] == "function_call") else content
    if not isinstance(content, str):
        raise ValueError(
            f"message {number} has the content {reprlib.repr(content)}; expected a string"
        )
    # An assistant that only calls a tool, or a tool that returns nothing, may have no content.
    if role in ("system", "user") and not content.strip():
        raise ValueError(
            f"message {number} ({role}) has blank content ({reprlib.repr(content)}); "
            "expected some text"
        )
    _require_whole(content, f"message {number}")
    # xdist cannot serialise subclasses of str, such as numpy's.
    message = Message(role=role, content=str(content))
    if calls:
        if role != "assistant":
            raise ValueError(f"message {number} ({role}) calls a tool; only an assistant does")
        message["tool_calls"] = calls
    for key in ANSWERING:
        if key in given:
            if not is_whole(item[key]):
                raise ValueError(f"message {number} has the {key} {reprlib.repr(item[key])}")
            message[key] = str(item[key])  # type: ignore[literal-required]
    return message


def _calls(number: int, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message, as OpenAI's API has them now or had them, or LLaMA-Factory."""
    found = item.get("tool_calls") or item.get("function_call")
    found = found or (item.get("content") if item.get("role") == "function_call" else None)
    if not found:
        return []
    try:
        calls = parse_calls(found.tolist() if hasattr(found, "tolist") else found)
    except ValueError as error:
        raise ValueError(f"message {number}: {error}") from error
    given = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    ids = [each.get("id") if isinstance(each, Mapping) else None for each in given]
    ids += [None] * (len(calls) - len(ids))
    return [message_call(call, key) for call, key in zip(calls, ids, strict=False)]


def message_call(call: ToolCall, key: object = None) -> dict[str, Any]:
    """A call as messages have it."""
    known = {"id": str(key)} if isinstance(key, str) and is_whole(key) else {}
    return {**known, "type": "function", "function": as_json(call)}


def _identified(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The same, with an id for each call and the result that answers it: servers need them, and
    Mistral's templates take only those of nine letters and digits."""
    result, waiting, count = list[Message](), list[str](), 0
    for message in messages:
        if calls := message.get("tool_calls"):
            named = []
            for call in calls:
                count += 1
                named.append({"id": f"call{count:05}", **call})
            message = {**message, "tool_calls": named}
            waiting += [call["id"] for call in named]
        elif message["role"] == "tool" and waiting:
            answered = message.get("tool_call_id", waiting[0])
            message = {**message, "tool_call_id": answered}
            waiting = [key for key in waiting if key != answered]
        result.append(message)
    return tuple(result)


def is_whole(value: object) -> TypeGuard[str]:
    """Whether it is a text without half a surrogate pair, which no tokenizer can encode."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_whole(text: str, what: str) -> None:
    if not is_whole(text):
        raise ValueError(f"{what} contains half a surrogate pair; expected whole characters")
