"""Training examples: their layout in a record, and what all formattings have in common."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_llmdiff.data.files.records import Record
from pytest_llmdiff.data.messages import Message

Formatting = Literal["alpaca", "sharegpt", "openai"]
FORMATTINGS: tuple[Formatting, ...] = ("alpaca", "sharegpt", "openai")
MEDIA = ("images", "videos", "audios")
COLUMNS: Mapping[str, str | None] = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "messages": "conversations",
    **dict.fromkeys(("history", "system", "tools", *MEDIA, "chosen", "rejected", "kto_tag")),
}
TAGS: Mapping[str, str | None] = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
# The two kinds of alternating turns, and their roles in a chat template.
ASKS = {"user": "user", "observation": "tool"}
ANSWERS = {"assistant": "assistant", "function": "assistant"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training example: a prompt that ends in a user or tool turn, and its answers.

    `answer` is the response, or the chosen or desired one; None if the example has only a rejected
    answer, or none.
    """

    number: int
    messages: tuple[Message, ...]
    answer: str | None
    rejected: str | None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns and tags of an example's parts, as given by an entry of dataset_info.json.

    With `offering`, examples with tools are read; else they are dropped.
    """

    formatting: Formatting = "alpaca"
    ranking: bool = False
    columns: Mapping[str, str | None] = field(default_factory=lambda: COLUMNS)
    offering: bool = False
    tags: Mapping[str, str | None] = field(default_factory=lambda: TAGS)


class Dropped(Exception):
    """The record is left out: LLaMA-Factory skips it, or it is not only text. The message says
    why."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Turns with LLaMA-Factory's names of the roles."""

    system: object
    prompt: Sequence[Message]
    responses: Sequence[Message]


def needed_columns(layout: Layout) -> list[str]:
    """The columns that LLaMA-Factory looks up in every record: it cannot load data without them."""
    names = ["kto_tag", *MEDIA]
    if layout.formatting == "alpaca":
        names += ["history", "prompt", "query", "system", "tools"]
    elif layout.formatting == "sharegpt":
        names += ["messages", "system", "tools"]
    else:
        names += ["messages"]
    if layout.ranking:
        names += ["chosen", "rejected"]
    elif layout.formatting == "alpaca":
        names += ["response"]
    return [column for name in names if (column := layout.columns.get(name))]


def value_of(record: Record, layout: Layout, name: str) -> object:
    column = layout.columns.get(name)
    return record.values.get(column) if column else None


def kto_tag(record: Record, layout: Layout) -> bool | None:
    tag = value_of(record, layout, "kto_tag")
    if record.cells and isinstance(tag, str):
        tag = {"true": True, "false": False}.get(tag.lower())
    return tag if isinstance(tag, bool) else None


def kto_responses(response: Message, desired: bool) -> list[Message]:
    # LLaMA-Factory recognises the kind of the other answer by the place of the empty one.
    empty = Message(role="assistant", content="")
    return [response, empty] if desired else [empty, response]


def is_parts(content: object) -> bool:
    """Whether the content of a message is a list of parts such as {"type": "image", ...}."""
    return isinstance(content, list) and any(
        isinstance(part, dict) and "type" in part for part in content
    )


def text_turn(record: Record, role: str, content: object, column: str | None) -> Message:
    if is_parts(content):
        raise Dropped("a turn is a list of parts (multimodal), and only text is read")
    if not isinstance(content, str):
        raise record.error(f"got {reprlib.repr(content)}; expected text", column=column)
    return Message(role=role, content=content)
