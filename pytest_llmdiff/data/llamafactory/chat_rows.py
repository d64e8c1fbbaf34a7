"""Records of training data without a dataset_info.json: chat messages, and TRL's formats."""

from __future__ import annotations

import reprlib

from pytest_llmdiff.data.files.records import Record
from pytest_llmdiff.data.llamafactory.examples import MEDIA, Dropped, Example, Layout, is_parts
from pytest_llmdiff.data.llamafactory.rows import drop_media_and_tools
from pytest_llmdiff.data.messages import Message, parse_messages

COLUMNS = ("messages", "prompt", "completion", "chosen", "rejected")
_ALL_TEXT = Layout(columns={name: name for name in (*MEDIA, "tools")})


def parse_chat(record: Record, number: int) -> Example:
    """The example in `messages`, or in `prompt` with `completion` or with `chosen` and `rejected`.

    Each of these may be a text or a list of messages.

    Raises:
        Dropped: it comes with media, tools or calls of tools.
        ProbeFileError: the record is none of these.
    """
    drop_media_and_tools(record, _ALL_TEXT)
    values = record.values
    for column in COLUMNS:
        _drop_other_turns(column, values.get(column))
    if (messages := values.get("messages")) is not None and values.get("prompt") is None:
        if not isinstance(messages, list) or not messages:
            raise record.error(
                f"got {reprlib.repr(messages)}; expected a list of messages", column="messages"
            )
        last = messages[-1]
        answered = isinstance(last, dict) and last.get("role") == "assistant"
        answer = _reply(record, "messages", messages[-1:]) if answered else None
        prompt = messages[:-1] if answered else messages
        return Example(
            number=number, messages=_prompt(record, "messages", prompt), answer=answer,
            rejected=None,
        )  # fmt: skip
    asked = _prompt(record, "prompt", values.get("prompt"))
    if values.get("completion") is not None:
        reply = _reply(record, "completion", values["completion"])
        # TRL's format of data for KTO.
        desired = values.get("label") is not False
        return Example(
            number=number, messages=asked, answer=reply if desired else None,
            rejected=None if desired else reply,
        )  # fmt: skip
    if values.get("chosen") is None or values.get("rejected") is None:
        raise record.error(
            "it has neither 'completion' nor both 'chosen' and 'rejected'; expected one of these "
            "in addition to 'prompt'"
        )
    chosen, rejected = (_reply(record, name, values[name]) for name in ("chosen", "rejected"))
    return Example(number=number, messages=asked, answer=chosen, rejected=rejected)


def _drop_other_turns(column: str, value: object) -> None:
    for turn in value if isinstance(value, list) else []:
        if not isinstance(turn, dict):
            continue
        if is_parts(turn.get("content")):
            raise Dropped(f"a message in {column!r} is a list of parts (multimodal), not text")
        if turn.get("tool_calls") or turn.get("function_call"):
            raise Dropped(f"a message in {column!r} calls a tool, and only text is read")


def _prompt(record: Record, column: str, value: object) -> tuple[Message, ...]:
    try:
        return parse_messages(value)
    except ValueError as error:
        raise record.error(str(error), column=column) from error


def _reply(record: Record, column: str, value: object) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        turn = value[0]
        if turn.get("role") == "assistant" and isinstance(turn.get("content"), str):
            value = turn["content"]
    if not isinstance(value, str):
        raise record.error(
            f"got {reprlib.repr(value)}; expected a text, or a list with one message of the role "
            "'assistant'",
            column=column,
        )
    return value
