"""Messages with tools, calls of them and their results, in the forms that users have them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdiff import ProbeFileError
from pytest_llmdiff.data.files.probe_files import read_probe_file
from pytest_llmdiff.data.messages import parse_messages
from pytest_llmdiff.data.probes import probe_of_row
from pytest_llmdiff.data.tools.definitions import parse_tools
from pytest_llmdiff.plugin.preparation.marker_probes import probes_of_marker

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": WEATHER}]
CALL = {"name": "weather", "arguments": {"city": "Paris"}}
USER = {"role": "user", "content": "Is it sunny in Paris?"}
EXPECTED = [
    USER,
    {"role": "assistant", "content": "",
     "tool_calls": [{"id": "call00001", "type": "function", "function": CALL}]},
    {"role": "tool", "content": "sunny", "tool_call_id": "call00001"},
]  # fmt: skip
AS_TEXT = {"name": "weather", "arguments": json.dumps(CALL["arguments"])}


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [{"function": AS_TEXT}]},
         {"role": "tool", "content": "sunny"}),
        ({"role": "assistant", "tool_calls": [CALL]}, {"role": "observation", "content": "sunny"}),
        ({"role": "assistant", "content": "", "function_call": AS_TEXT},
         {"role": "function", "content": "sunny"}),
        ({"role": "function_call", "content": json.dumps(CALL)},
         {"role": "observation", "content": "sunny"}),
        # as a table has them
        ({"role": "assistant", "content": "", "tool_calls": [CALL], "name": None},
         {"role": "tool", "content": "sunny", "tool_calls": None, "name": None}),
    ],
)  # fmt: skip
def test_calls_in_any_form(call: dict[str, Any], result: dict[str, Any]) -> None:
    messages = parse_messages([USER, call, result])
    assert list(messages) == EXPECTED
    assert parse_messages(messages) == messages


def test_ids_are_kept_and_results_find_their_calls() -> None:
    calls = [{"id": "b", "function": CALL}, {"function": CALL}]
    results = [{"role": "tool", "content": "2"}, {"role": "tool", "content": "1"}]
    results[0]["tool_call_id"] = "call00002"
    *_, second, first = parse_messages([USER, {"role": "assistant", "tool_calls": calls}, *results])
    assert (second["tool_call_id"], first["tool_call_id"]) == ("call00002", "b")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{**USER, "tool_calls": [CALL]}], r"message 1 \(user\) calls a tool"),
        ([USER, {"role": "assistant", "tool_calls": ["weather"]}, USER], "is no call of a tool"),
        ([USER, {"role": "function_call", "content": "weather"}, USER], "message 2: .* is no JSON"),
        ([USER, {**USER, "tools": TOOLS}], "the first message may also have 'tools'"),
        ([{**USER, "tools": [{"description": "no name"}]}], "expected a list of tools"),
        ([{**USER, "name": "Ada"}], "'name'; expected exactly 'role' and 'content'$"),
        ([USER, {"role": "assistant", "tool_calls": [CALL]}], "the last message has the role"),
    ],
)
def test_what_is_refused(messages: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_messages(messages)


@pytest.mark.parametrize(
    "given",
    [TOOLS, [WEATHER], WEATHER, json.dumps(TOOLS), json.dumps([WEATHER]),
     [{**WEATHER, "description": None, "parameters": json.dumps(WEATHER["parameters"])}]],
)  # fmt: skip
def test_tools_in_any_form(given: Any) -> None:
    assert list(parse_tools(given)) == TOOLS


@pytest.mark.parametrize("given", [None, [], "", "[]", " "])
def test_no_tools(given: Any) -> None:
    assert parse_tools(given) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "expected a list of tools"),
        ([7], "got the tool 7"),
        ([WEATHER, WEATHER], "two tools have the same name"),
        ([{"name": "weather", "parameters": 7}], "got the parameters 7 of 'weather'"),
        ([{"name": "weather", "parameters": {"default": float("nan")}}], "is not plain JSON"),
    ],
)
def test_tools_that_are_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_tools(given)


def test_a_probe_file_with_tools(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Is it sunny?", "tools": [WEATHER], "reference": CALL},
        {"prompt": "Hi", "tools": json.dumps([WEATHER]), "reference": "none"},
        {"messages": EXPECTED, "system": "Be brief."},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    other = parse_tools([{"name": "time"}])
    probes = [
        probe_of_row(row, system=None, tags=(), generation={}, tools=other)
        for row in read_probe_file(tmp_path / "a.jsonl")
    ]
    assert [probe.tools for probe in probes] == [TOOLS, TOOLS, list(other)]
    assert [probe.reference for probe in probes] == [json.dumps([CALL]), "none", None]
    assert probes[2].messages[0]["role"] == "system"
    (tmp_path / "a.csv").write_text('prompt,tools,reference\nHi,"[{""name"": ""time""}]",none\n')
    (row,) = read_probe_file(tmp_path / "a.csv")
    assert row.tools == other
    (tmp_path / "b.jsonl").write_text('{"prompt": "Hi", "tools": [1]}', encoding="utf-8")
    with pytest.raises(ProbeFileError, match=r"line 1, column 'tools': got the tool 1"):
        read_probe_file(tmp_path / "b.jsonl")


def test_llamafactory_data_with_tools(tmp_path: Path) -> None:
    """The turns of glaive_toolcall and the like, as LLaMA-Factory's own data has them."""
    turns = [
        {"from": "human", "value": "Is it sunny in Paris?"},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "observation", "value": "sunny"},
    ]
    rows = [
        {
            "conversations": [*turns, {"from": "gpt", "value": "Yes."}],
            "tools": json.dumps([WEATHER]),
        },
        {"conversations": turns[:2], "tools": json.dumps([WEATHER])},
        {"conversations": [turns[0], {"from": "gpt", "value": "I cannot know."}]},
    ]
    (tmp_path / "calls.json").write_text(json.dumps(rows), encoding="utf-8")
    probes = probes_of_marker((), {"file": "calls.json"}, folder=tmp_path)
    assert [probe.tools for probe in probes] == [TOOLS, TOOLS, []]
    assert [probe.reference for probe in probes] == ["Yes.", json.dumps(CALL), "I cannot know."]
    assert [{**m} for m in probes[0].messages] == [{**USER, "tools": TOOLS}, *EXPECTED[1:]]
