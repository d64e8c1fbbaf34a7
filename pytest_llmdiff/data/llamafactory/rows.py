"""Turns records of training data into examples, as LLaMA-Factory does."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from pytest_llmdiff.data.files.records import Record
from pytest_llmdiff.data.llamafactory.conversations import parse_turns
from pytest_llmdiff.data.llamafactory.examples import (
    ANSWERS,
    ASKS,
    MEDIA,
    Conversation,
    Dropped,
    Example,
    Layout,
    kto_responses,
    kto_tag,
    text_turn,
    value_of,
)
from pytest_llmdiff.data.messages import Message, parse_messages
from pytest_llmdiff.data.tools.definitions import parse_tools, with_tools


def parse_example(record: Record, number: int, layout: Layout) -> Example:
    """The example that LLaMA-Factory makes of a record; the steps are in its order.

    Raises:
        Dropped: LLaMA-Factory would skip the record, or it has no prompt or is not only text.
        ProbeFileError: LLaMA-Factory could not load the record.
    """
    drop_media_and_tools(record, layout)
    tools = _tools(record, layout)
    conversation = (
        _alpaca(record, layout) if layout.formatting == "alpaca" else parse_turns(record, layout)
    )
    if conversation.system is not None and not isinstance(conversation.system, str):
        got = reprlib.repr(conversation.system)
        raise record.error(f"got the system prompt {got}; expected text")
    if len(conversation.prompt) % 2 != 1:
        raise Dropped("it has no prompt before its answer")
    messages = [
        Message(role=_role(turn["role"], layout), content=turn["content"])
        for turn in conversation.prompt
    ]
    if conversation.system:
        messages.insert(0, Message(role="system", content=conversation.system))
    answers = [response["content"] for response in conversation.responses]
    answer, rejected = _answers(record, layout, answers)
    checked = with_tools(_checked(messages), tools)
    return Example(number=number, messages=checked, answer=answer, rejected=rejected)


def _role(role: str, layout: Layout) -> str:
    """The role of a turn. Where tools are read, calls are as well; else they are text."""
    called = layout.offering and role == "function"
    return "function_call" if called else (ASKS | ANSWERS)[role]


def _tools(record: Record, layout: Layout) -> tuple[dict[str, Any], ...]:
    if not layout.offering:
        return ()
    try:
        return parse_tools(value_of(record, layout, "tools"))
    except ValueError as error:
        raise record.error(str(error), column=layout.columns.get("tools")) from error


def drop_media_and_tools(record: Record, layout: Layout) -> None:
    for name in MEDIA if layout.offering else (*MEDIA, "tools"):
        value = value_of(record, layout, name)
        if value in (None, "", [], {}) or (
            isinstance(value, str) and value.strip() in ("", "[]", "{}", "null")
        ):
            continue
        what = "tool definitions" if name == "tools" else f"{name} (multimodal)"
        raise Dropped(f"it comes with {what} in {layout.columns[name]!r}, and only text is read")


def _answers(
    record: Record, layout: Layout, responses: Sequence[str]
) -> tuple[str | None, str | None]:
    """The answer and the rejected answer, as the stage of this layout reads them."""
    kto_column = layout.columns.get("kto_tag")
    if layout.ranking:
        if len(responses) < 2:
            raise Dropped("'chosen' and 'rejected' are not both given")
        return responses[0], responses[1]
    if kto_column:
        if len(responses) < 2:
            got = reprlib.repr(record.values.get(kto_column))
            raise Dropped(f"its {kto_column!r} is {got}, not true or false")
        return (responses[0], None) if responses[0] else (None, responses[1])
    return (responses[0] if responses else None), None


def _checked(messages: Sequence[Message]) -> tuple[Message, ...]:
    try:
        return parse_messages(messages)
    except ValueError as error:
        raise Dropped(f"there is nothing to ask: {error}") from error


# Alpaca


def _alpaca(record: Record, layout: Layout) -> Conversation:
    prompt: list[Message] = []
    history = value_of(record, layout, "history")
    for pair in history if isinstance(history, list) else []:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise record.error(
                f"got {reprlib.repr(pair)}; expected pairs of a prompt and its answer",
                column=layout.columns["history"],
            )
        for role, text in zip(("user", "assistant"), pair, strict=True):
            prompt.append(text_turn(record, role, text, layout.columns["history"]))
    parts = []
    for name in ("prompt", "query"):
        if value := value_of(record, layout, name):
            parts.append(text_turn(record, "user", value, layout.columns[name])["content"])
    prompt.append(Message(role="user", content="\n".join(parts)))

    response = value_of(record, layout, "response")
    if (desired := kto_tag(record, layout)) is not None:
        turn = text_turn(record, "assistant", response, layout.columns.get("response"))
        responses = kto_responses(turn, desired)
    elif layout.ranking and all(
        isinstance(value_of(record, layout, name), str) for name in ("chosen", "rejected")
    ):
        responses = [
            Message(role="assistant", content=str(value_of(record, layout, name)))
            for name in ("chosen", "rejected")
        ]
    else:
        known = isinstance(response, str)
        responses = [Message(role="assistant", content=str(response))] if known else []
    return Conversation(
        system=value_of(record, layout, "system"), prompt=prompt, responses=responses
    )
