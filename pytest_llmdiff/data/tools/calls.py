"""Calls of tools as values, from the forms in which messages, servers and references have them."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdiff.data.files.strict_json import LONGEST_NUMBER

DEEPEST = 64  # levels of a call's arguments, and of a tool's definition
MOST = 64  # calls of a reply that are read
SHOWN = 2000  # characters of one that cannot be read
# The names that forms have for the arguments of a call.
ARGUMENTS = ("arguments", "parameters")


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool.

    `arguments` are values by name, or whatever else the model wrote in their place. A call that
    cannot be read has the name "" if that is unknown as well.
    """

    name: str
    arguments: Any = field(default_factory=dict)


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is malformed, nested too deeply, or has a number that is not finite.
    """
    value, end = json_at(text, len(text) - len(text.lstrip()))
    if text[end:].strip():
        raise ValueError("there is more after the JSON value")
    return value


def json_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at a place, and where it ends; raises as `read_json`."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_depth(value)
    return value, end


def check_depth(value: Any, left: int = DEEPEST) -> None:
    """Raises ValueError for values with more levels than that."""
    if not left:
        raise ValueError("it is nested too deeply")
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, (Mapping, list, tuple)):
        for each in inner:
            check_depth(each, left - 1)


def _int(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"a number is too large: {digits:.20}")
    return value


def _constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_constant)


def call_of(value: object) -> ToolCall | None:
    """The call in `{"name", "arguments"}` or `{"function": {...}}`; None if it is none.

    OpenAI's API has the arguments as a JSON text. One that is no JSON object stays as it is.
    """
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name:
        return None
    none: dict[str, Any] = {}
    given: Any = next((inner[key] for key in ARGUMENTS if inner.get(key) is not None), none)
    if isinstance(given, str):
        if not given.strip():
            return ToolCall(name=name)
        try:
            opened = read_json(given)
        except ValueError:
            opened = given
        given = opened if isinstance(opened, dict) else given
    return ToolCall(name=name, arguments=given)


def readable_calls(items: Sequence[object]) -> tuple[ToolCall, ...]:
    """The calls in what a server or a library made of a reply; what cannot be read is a call too,
    without a name."""
    found = []
    for item in items[:MOST]:
        try:
            call = call_of(plain_copy(item))
        except ValueError:
            call = None
        found.append(call or ToolCall(name="", arguments=str(item)[:SHOWN]))
    return tuple(found)


def parse_calls(value: object) -> tuple[ToolCall, ...]:
    """The calls that a user wrote: one, or a list, or either as a JSON text.

    Raises:
        ValueError: one of them is no call.
    """
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError as error:
            raise ValueError(f"{reprlib.repr(value)} is no JSON: {error}") from error
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    found = []
    for item in items:
        call = item if isinstance(item, ToolCall) else call_of(item)
        if call is None or _misspelt(item) or not isinstance(call.arguments, Mapping):
            raise ValueError(
                f"{reprlib.repr(item)} is no call of a tool; expected "
                '{"name": "...", "arguments": {...}}'
            )
        found.append(ToolCall(name=call.name, arguments=plain_copy(dict(call.arguments))))
    return tuple(found)


def _misspelt(item: object) -> bool:
    """Whether there is something in the place of arguments, under a name that is not known."""
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    return (
        isinstance(inner, Mapping)
        and not any(key in inner for key in ARGUMENTS)
        and bool(inner.keys() - {"name", "id", "type", "index"})
    )


def plain_copy(value: Any) -> Any:
    """A copy of plain JSON values.

    Raises:
        ValueError: it holds something that JSON has not, or half a surrogate pair.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{reprlib.repr(value)} is not plain JSON: {error}") from error
    return read_json(text)


def as_json(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.arguments}


def text_of(calls: Sequence[ToolCall]) -> str:
    """Calls as texts, one a line."""
    return "\n".join(json.dumps(as_json(call), ensure_ascii=False) for call in calls)
