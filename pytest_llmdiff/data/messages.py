"""Chat messages, and the prompts that probe files and markers accept."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeGuard

ROLES = ("system", "user", "assistant", "tool")


class Message(TypedDict):
    role: str
    content: str


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
    return messages


def _parse_message(number: int, item: object) -> Message:
    if not isinstance(item, Mapping):
        raise ValueError(
            f"message {number} is {reprlib.repr(item)}; expected a mapping "
            "with 'role' and 'content'"
        )
    if set(item) != {"role", "content"}:
        keys = ", ".join(repr(key) for key in item) or "none"
        raise ValueError(
            f"message {number} has the keys {keys}; expected exactly 'role' and 'content'"
        )
    role, content = item["role"], item["content"]
    if role not in ROLES:
        raise ValueError(
            f"message {number} has the role {reprlib.repr(role)}; "
            f"expected one of {', '.join(map(repr, ROLES))}"
        )
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
    return Message(role=role, content=str(content))


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
