"""Reads conversations in the formattings sharegpt and openai."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence

from pytest_llmdiff.data.files.records import Record
from pytest_llmdiff.data.llamafactory.examples import (
    ANSWERS,
    ASKS,
    Conversation,
    Dropped,
    Layout,
    kto_responses,
    kto_tag,
    text_turn,
    value_of,
)
from pytest_llmdiff.data.messages import Message


def parse_turns(record: Record, layout: Layout) -> Conversation:
    column = layout.columns.get("messages")
    items = record.values.get(column) if column else None
    if not isinstance(items, list):
        raise record.error(f"got {reprlib.repr(items)}; expected a list of turns", column=column)
    turns = [_role_and_item(record, layout, column, item) for item in items]
    system = value_of(record, layout, "system")
    system_tag, content_tag = layout.tags.get("system_tag"), layout.tags.get("content_tag") or ""
    if turns and system_tag and turns[0][0] == system_tag:
        system = turns[0][1].get(content_tag)
        turns = turns[1:]
    if layout.formatting == "openai":
        aligned = _openai_turns(record, layout, turns)
        if not value_of(record, layout, "tools"):
            system = _with_thinking_remark(system)
    else:
        roles = _roles(layout)
        aligned = []
        for number, (tag, item) in enumerate(turns):
            role = roles.get(tag, "")
            _check_alternation(number, role, tag)
            aligned.append(text_turn(record, role, item.get(content_tag), column))
    if not aligned:
        raise Dropped("it has no turns")
    if (len(aligned) % 2 == 0) == layout.ranking:
        wanted = "the prompt must end in a user's turn" if layout.ranking else (
            "the last turn must be an answer"
        )  # fmt: skip
        raise Dropped(f"it has {len(aligned)} turns besides the system prompt: {wanted}")

    desired = kto_tag(record, layout)
    chosen, rejected = (value_of(record, layout, name) for name in ("chosen", "rejected"))
    prompt, responses = aligned[:-1], aligned[-1:]
    if desired is not None:
        responses = kto_responses(aligned[-1], desired)
    elif layout.ranking and isinstance(chosen, dict) and isinstance(rejected, dict):
        prompt = aligned
        responses = [
            _preference(record, layout, name, item)
            for name, item in (("chosen", chosen), ("rejected", rejected))
        ]
    elif layout.ranking:
        raise Dropped("'chosen' and 'rejected' are not both given as one turn")
    return Conversation(system=system, prompt=prompt, responses=responses)


def _role_and_item(
    record: Record, layout: Layout, column: str | None, item: object
) -> tuple[str, Mapping[str, object]]:
    role_tag, content_tag = layout.tags.get("role_tag"), layout.tags.get("content_tag")
    role = item.get(role_tag) if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(role, str):
        raise record.error(
            f"got the turn {reprlib.repr(item)}; expected an object with {role_tag!r} and "
            f"{content_tag!r} (the entry's role_tag and content_tag)",
            column=column,
        )
    return role, item


def _roles(layout: Layout) -> dict[str | None, str]:
    roles = ("user", "assistant", "observation", "function", "system")
    return {tag: role for role in roles if (tag := layout.tags.get(f"{role}_tag"))}


def _check_alternation(number: int, role: str, tag: str) -> None:
    if role not in (ANSWERS if number % 2 else ASKS):
        wanted = "an answer" if number % 2 else "a user's or a tool's"
        raise Dropped(f"turn {number + 1} has the role {tag!r}; it must be {wanted}")


def _preference(record: Record, layout: Layout, name: str, item: dict[str, object]) -> Message:
    tag, _ = _role_and_item(record, layout, layout.columns[name], item)
    role = _roles(layout).get(tag)
    if role not in ANSWERS:
        # LLaMA-Factory only warns, and trains on it as a turn of that role.
        raise Dropped(f"{name!r} has the role {tag!r}; it must be an answer")
    content = item.get(layout.tags.get("content_tag") or "")
    return text_turn(record, role, content, layout.columns[name])


def _openai_turns(
    record: Record, layout: Layout, turns: Sequence[tuple[str, Mapping[str, object]]]
) -> list[Message]:
    """Calls of tools become an answer with their JSON, and consecutive tool results one turn."""
    column, content_tag = layout.columns.get("messages"), layout.tags.get("content_tag") or ""
    roles = _roles(layout)
    aligned: list[Message] = []
    results: list[str] = []
    for tag, item in turns:
        role, content = roles.get(tag), item.get(content_tag)
        if role is None:
            raise record.error(
                f"got the role {tag!r}; expected one of the entry's tags: "
                f"{', '.join(str(known) for known in roles)}",
                column=column,
            )
        if role in ANSWERS and (calls := item.get("tool_calls")):
            role, content = "function", _tool_calls(record, column, calls)
        turn = text_turn(record, role, content, column)
        if role == "observation":
            results.append(turn["content"])
            continue
        if results:
            joined = "\n</tool_response>\n<tool_response>\n".join(results)
            aligned.append(Message(role="observation", content=joined))
            results = []
        aligned.append(turn)
    for number, turn in enumerate(aligned):
        _check_alternation(number, turn["role"], turn["role"])
    return aligned


def _tool_calls(record: Record, column: str | None, calls: object) -> str:
    if not isinstance(calls, list) or not all(
        isinstance(call, dict) and "function" in call for call in calls
    ):
        raise record.error(
            f"got the tool calls {reprlib.repr(calls)}; expected objects with 'function'",
            column=column,
        )
    return json.dumps([call["function"] for call in calls], ensure_ascii=False)


def _with_thinking_remark(system: object) -> object:
    # LLaMA-Factory adds it to every example of this formatting that has no tools.
    remark = "detailed thinking off"
    if not system:
        return remark
    if not isinstance(system, str) or "detailed thinking on" in system or remark in system:
        return system
    return f"{system}\n{remark}"
