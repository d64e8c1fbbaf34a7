"""Calls of tools in the forms that families of models write, and in any other text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_llmdiff import ToolCall
from pytest_llmdiff.data.tools.calls import MOST
from pytest_llmdiff.data.tools.text_forms import calls_in, marked_calls

PARIS = {"city": "Paris", "days": 2}
TIME: dict[str, Any] = {}
ARGUMENTS = json.dumps(PARIS)
DEEPSEEK = "<｜tool▁calls▁begin｜>{}<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"

WRITTEN = {
    "Qwen, Hermes": 'I look it up.\n<tool_call>\n{"name": "weather", "arguments": %s}\n</tool_call>'
    '\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>',
    "Qwen3-Coder": "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=time>\n"
    "</function>\n</tool_call>",
    "GLM-4.5": "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
    "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n"
    '<tool_call>{"name": "time"}</tool_call>',
    "Llama 3.1": '<|python_tag|>{"name": "weather", "parameters": %s}; '
    '{"name": "time", "parameters": {}}<|eom_id|>',
    "Llama 3.1, bare": '{"name": "weather", "parameters": %s}\n{"name": "time", "parameters": {}}',
    "LLaMA-Factory's llama3 and mistral": '[{"name": "weather", "arguments": %s}, '
    '{"name": "time", "arguments": {}}]',
    "in a code fence": '```json\n[{"name": "weather", "arguments": %s}, '
    '{"name": "time", "arguments": {}}]\n```',
    "Mistral 7B": '[TOOL_CALLS] [{"name": "weather", "arguments": %s, "id": "abcdefghi"}, '
    '{"name": "time", "arguments": {}, "id": "bcdefghij"}]</s>',
    "Mistral Small 3": "[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]%s[TOOL_CALLS]time[ARGS]{}</s>",
    "Mistral's new form": "[TOOL_CALLS]weather%s[TOOL_CALLS]time{}</s>",
    "DeepSeek V3": DEEPSEEK.format(
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n%s\n```<｜tool▁call▁end｜>"
        "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{}\n```<｜tool▁call▁end｜>"
    ),
    "DeepSeek V3.1": DEEPSEEK.format(
        "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>%s<｜tool▁call▁end｜>"
        "<｜tool▁call▁begin｜>time<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
    ),
    "LLaMA-Factory's default": "Action: weather\nAction Input: %s\nAction: time\nAction Input: {}",
    "LLaMA-Factory's glm4": "weather\n%s\ntime\n{}",
}


@pytest.mark.parametrize("family", WRITTEN)
def test_the_forms_of_families(family: str) -> None:
    text = WRITTEN[family].replace("%s", ARGUMENTS)
    assert calls_in(text, ["weather", "time"]) == (
        ToolCall(name="weather", arguments=PARIS),
        ToolCall(name="time", arguments=TIME),
    )


@pytest.mark.parametrize(
    "text",
    [
        "The weather in Paris is fine.",
        '{"name": "Ada", "age": 36}',
        '{"name": "weather"}',
        '[1, {"name": "weather", "arguments": {}}]',
        '{"name": "weather", "arguments": {}} is how I would call it',
        "weather\nis fine",
        'storm\n{"city": "Paris"}',  # no tool of that name is offered
        "```json\n{}\n```",
        "",
    ],
)
def test_what_is_no_call(text: str) -> None:
    assert calls_in(text, ["weather", "time"]) == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('<tool_call>{"name": "weather", "arguments": {"city": "Pa', "weather"),
        ("<tool_call>", ""),
        ("<tool_call>{'name': 'weather'}</tool_call>", ""),
        ('[TOOL_CALLS] [{"name": "weather", "argume', "weather"),
        ("[TOOL_CALLS]weather[ARGS]{", "weather"),
        ('<|python_tag|>weather.call(city="Paris")', "weather.call"),
        ("<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{", "weather"),
        ("Action: weather\nAction Input: Paris", "weather"),
        ('<tool_call>{"name": "weather", "arguments": {"days": 1e999}}</tool_call>', "weather"),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", ""),
    ],
)
def test_a_marked_call_that_cannot_be_read_is_one(text: str, name: str) -> None:
    """A broken call where none is due is a fault, and one that is due is not right."""
    (call,) = calls_in(text, ["weather"])
    assert call.name == name
    assert isinstance(call.arguments, str)


PIECES = [
    "<tool_call>", "</tool_call>", "<function=", "<parameter=", ">", "</function>", "<arg_key>",
    "</arg_key>", "<arg_value>", "[TOOL_CALLS]",
    "[ARGS]", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>", "<|python_tag|>", "Action: ", "Action Input: ", '{"name": "', '"a"', ":",
    "[", "]", "{", "}", ",", ";", "\n", "weather", '"arguments"', "1e999", "-", "NaN", "\ud800",
    "```json\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(), max_size=40).map("".join))
@example("[" * 200_000)
@example('{"a":' * 100_000)
@example("<tool_call>" * 50_000)
@example("Action: a Action Input: " * 20_000)
@example("Action: " + " " * 200_000)
@example('<tool_call>{"name": "a", "arguments": ' + "9" * 250_000)
@example("[TOOL_CALLS]" * 20_000 + "{")
@example("weather {}" * 20_000)
@example("<tool_call><arg_key>" * 20_000)
def test_any_text_is_read(text: str) -> None:
    """No text raises or takes long, and what is found is plain JSON, which the store can keep."""
    for calls in (calls_in(text, ["weather"]), marked_calls(text)):
        assert len(calls) <= MOST
        for call in calls:
            assert json.loads(json.dumps(call.arguments, allow_nan=False)) == call.arguments


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip
MARKS = (
    "<tool_call>", "</tool_call>", "<function=", "<arg_key>", "[TOOL", "<|py", "<｜", "Action:",
)  # fmt: skip


@given(st.dictionaries(st.text(), JSONS, max_size=3), st.sampled_from(["arguments", "parameters"]))
def test_arguments_come_back_as_they_were_written(arguments: dict[str, Any], key: str) -> None:
    written = json.dumps({"name": "weather", key: arguments}, ensure_ascii=True)
    texts = [written, f"```json\n{written}\n```"]
    if not any(mark in written for mark in MARKS):
        texts += [f"<tool_call>\n{written}\n</tool_call>", f"<|python_tag|>{written}<|eom_id|>"]
        texts += [f"[TOOL_CALLS] [{written}]"]
        for text in texts:
            assert calls_in(text) == (ToolCall(name="weather", arguments=arguments),)
