"""Finds calls of tools in the text of a reply, in the forms that families of models write.

| family | form |
|---|---|
| Qwen, Hermes | `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` |
| Qwen3-Coder | `<function=NAME><parameter=KEY>VALUE</parameter></function>` |
| GLM-4.5 | `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>` |
| Mistral | `[TOOL_CALLS] [{"name": ..., "arguments": {...}}]`, `[TOOL_CALLS]NAME[ARGS]{...}` |
| DeepSeek | `<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{...}<｜tool▁call▁end｜>` |
| Llama 3 | `<|python_tag|>{"name": ..., "parameters": {...}}`, or that alone |
| LLaMA-Factory | `Action: NAME`, `Action Input: {...}` |
| GLM-4 | `NAME`, a line break and `{...}` |

A reply is whatever a model wrote: nothing here raises, and the time grows with its length alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from itertools import islice

from pytest_llmdiff.data.text.formats import unfenced
from pytest_llmdiff.data.tools.calls import ARGUMENTS, MOST, ToolCall, call_of, json_at, read_json

LONGEST = 1 << 18  # characters of a reply that are read
NAME = re.compile(r"\s*([\w.-]{1,128})\s*")
NAME_KEY = re.compile(r'"name"\s{0,9}:\s{0,9}"([^"\\]{1,128})"')
ACTION = re.compile(r"Action:\s{0,99}([\w.-]{1,128})\s{0,99}Action Input:\s{0,99}")
BETWEEN = re.compile(r"[\s;,]*")


def calls_in(text: str, names: Collection[str] = ()) -> tuple[ToolCall, ...]:
    """The calls in a reply, in order. Forms without a mark of their own count for the tools
    `names` only, or where they are JSON with a name and arguments and nothing else."""
    return marked_calls(text) or _first(text, (_bare, lambda t: _named(t, names)))


def marked_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in a text that are marked as such. One that cannot be read is a call as well."""
    return _first(text, (_deepseek, _tool_call, _function, _mistral, _python_tag, _action))


def _first(
    text: str, forms: Collection[Callable[[str], Iterator[ToolCall]]]
) -> tuple[ToolCall, ...]:
    for form in forms:
        if found := tuple(islice(form(text[:LONGEST]), MOST)):
            return found
    return ()


def _between(text: str, opening: str, closing: str) -> Iterator[str]:
    """What stands between two marks, each time; the second may be missing at the end."""
    at = text.find(opening)
    while at >= 0:
        start = at + len(opening)
        end = text.find(closing, start)
        yield text[start:] if end < 0 else text[start:end]
        at = -1 if end < 0 else text.find(opening, end)


def _unreadable(text: str) -> ToolCall:
    named = NAME_KEY.search(text) or NAME.match(text)
    return ToolCall(name=named[1] if named else "", arguments=text.strip())


def _arguments(name: str, text: str) -> ToolCall:
    """A call whose arguments are a JSON text."""
    return call_of({"name": name, "arguments": text}) or _unreadable(text)


def _json_calls(text: str, at: int = 0) -> tuple[list[ToolCall], int]:
    """The calls that stand one after the other as JSON, and where they end."""
    found: list[ToolCall] = []
    while len(found) < MOST:
        start = BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        try:
            value, end = json_at(text, start)
        except ValueError:
            break
        calls = [_whole(each) for each in (value if isinstance(value, list) else [value])]
        if None in calls:
            break
        found += [call for call in calls if call is not None]
        at = end
    return found, at


def _whole(value: object) -> ToolCall | None:
    """A call that has both name and arguments."""
    inner = value.get("function", value) if isinstance(value, dict) else None
    has = isinstance(inner, dict) and any(key in inner for key in ARGUMENTS)
    return call_of(value) if has else None


# One function for each form


def _tool_call(text: str) -> Iterator[ToolCall]:
    for inner in _between(text, "<tool_call>", "</tool_call>"):
        if "<function=" in inner:
            yield from _function(inner)
        elif "<arg_key>" in inner:
            yield _by_keys(inner)
        else:
            try:
                yield call_of(read_json(inner)) or _unreadable(inner)
            except ValueError:
                yield _unreadable(inner)


def _by_keys(text: str) -> ToolCall:
    head, _, rest = text.partition("<arg_key>")
    keys = _between(f"<arg_key>{rest}", "<arg_key>", "</arg_key>")
    values = _between(rest, "<arg_value>", "</arg_value>")
    pairs = zip(keys, values, strict=False)
    return ToolCall(name=head.strip(), arguments={key.strip(): _value(v) for key, v in pairs})


def _function(text: str) -> Iterator[ToolCall]:
    for inner in _between(text, "<function=", "</function>"):
        name, _, body = inner.partition(">")
        if body.lstrip().startswith("{"):
            yield _arguments(name.strip() or "?", body)
            continue
        pairs = (each.partition(">") for each in _between(body, "<parameter=", "</parameter>"))
        yield ToolCall(
            name=name.strip(), arguments={key.strip(): _value(held) for key, _, held in pairs}
        )


def _value(text: str) -> object:
    """A value that is JSON, unless it is a text without quotes."""
    try:
        return read_json(text)
    except ValueError:
        return text.strip("\n")


def _mistral(text: str) -> Iterator[ToolCall]:
    for part in islice(text.split("[TOOL_CALLS]"), 1, MOST + 1):
        if part.lstrip().startswith(("[{", "{", "[ {")):
            found, _ = _json_calls(part)
            yield from found or [_unreadable(part)]
            continue
        name, at = NAME.match(part), part.find("{")
        try:
            arguments = json_at(part, at)[0] if at >= 0 else None
        except ValueError:
            arguments = None
        if name is None or not isinstance(arguments, dict):
            yield _unreadable(part)
        else:
            yield ToolCall(name=name[1], arguments=arguments)


def _deepseek(text: str) -> Iterator[ToolCall]:
    for inner in _between(text, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"):
        name, _, body = inner.partition("<｜tool▁sep｜>")
        if name.strip() == "function":  # V3 and R1: the kind of tool, then its name in a line
            name, _, body = body.partition("\n")
        if not name.strip():
            yield _unreadable(body)
        else:
            yield _arguments(name.strip(), unfenced(body))


def _python_tag(text: str) -> Iterator[ToolCall]:
    _, mark, rest = text.partition("<|python_tag|>")
    if mark:
        yield from _json_calls(rest)[0] or [_unreadable(rest)]


def _action(text: str) -> Iterator[ToolCall]:
    marks = list(islice(ACTION.finditer(text), MOST + 1))
    for number, mark in enumerate(marks):
        end = marks[number + 1].start() if number + 1 < len(marks) else len(text)
        try:
            arguments: object = json_at(text, mark.end())[0]
        except ValueError:
            arguments = text[mark.end() : end].strip()
        yield ToolCall(name=mark[1], arguments=arguments)


def _bare(text: str) -> Iterator[ToolCall]:
    text = unfenced(text)
    found, end = _json_calls(text)
    if not text[end:].strip(" \t\r\n;,"):
        yield from found


def _named(text: str, names: Collection[str]) -> Iterator[ToolCall]:
    found, at = list[ToolCall](), 0
    while text[at:].strip() and len(found) < MOST:
        name = NAME.match(text, at)
        if name is None or name[1] not in names:
            return
        try:
            arguments, at = json_at(text, name.end())
        except ValueError:
            return
        if not isinstance(arguments, dict):
            return
        found.append(ToolCall(name=name[1], arguments=arguments))
    yield from found
