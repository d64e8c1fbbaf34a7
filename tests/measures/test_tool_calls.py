"""Calls of tools: which are right, what is wrong with others, and what a set of them shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmdiff import (
    Comparison,
    ConfigError,
    MissingPackageError,
    Probe,
    Reply,
    ToolCall,
    assert_tool_calls,
    tool_calls,
)
from pytest_llmdiff.data.probes import make_probe
from pytest_llmdiff.data.tools.definitions import parse_tools
from tests.support.projects import Run

WEATHER = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 1},
            "units": {"enum": ["C", "F"]},
        },
        "required": ["city"],
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
TOOLS = parse_tools([WEATHER, TIME])
PARIS = '{"name": "weather", "arguments": {"city": "Paris"}}'


def called(*calls: tuple[str, Any]) -> Reply:
    return Reply(text="", tool_calls=tuple(ToolCall(name=n, arguments=a) for n, a in calls))


def pair(
    tuned: Reply | str, reference: str | None = PARIS, *, base: str = "", tools: Any = TOOLS
) -> Comparison:
    probe = make_probe("What is it like in Paris?", reference=reference, tools=tools)
    tuned = Reply(text=tuned) if isinstance(tuned, str) else tuned
    return Comparison(probe=probe, base=Reply(text=base), tuned=tuned)


@pytest.mark.parametrize(
    ("tuned", "reference", "fault", "said"),
    [
        (PARIS, PARIS, None, ""),
        (f"<tool_call>{PARIS}</tool_call>", f"[{PARIS}]", None, ""),
        (called(("weather", {"city": "Paris", "days": 1.0})), PARIS, None, "the default"),
        (called(("time", {}), ("weather", {"city": "Paris"})),
         f'[{PARIS}, {{"name": "time"}}]', None, "calls in any order"),
        ("It is sunny.", "none", None, ""),
        ("It is sunny.", "null", None, ""),
        ("It is sunny.", "It rains.", None, "the reference is an answer in words"),
        (called(("time", {})), PARIS, "wrong tool", "it calls time, and weather is due"),
        (called(("weather", {}), ("weather", {})), PARIS, "wrong tool",
         "it calls weather, weather, and weather is due"),
        ("<tool_call>{</tool_call>", PARIS, "wrong tool", "it calls what cannot be read"),
        (called(("weather", {"city": 7})), PARIS, "invalid arguments",
         "of weather, at $.city: 7 is not of type 'string'"),
        (called(("weather", {"city": "Paris", "units": "K"})), PARIS, "invalid arguments",
         "'K' is not one of ['C', 'F']"),
        ('<tool_call>{"name": "weather", "arguments": {"ci', PARIS, "invalid arguments",
         "of weather, they are no JSON object"),
        (called(("weather", {"city": "Rome"})), PARIS, "wrong arguments",
         'of weather, city is "Rome", and "Paris" is due'),
        (called(("weather", {"city": "Paris", "days": 2})), PARIS, "wrong arguments",
         "of weather, days is 2, and 1 is due"),
        (called(("time", {"zone": True})), '{"name": "time", "arguments": {"zone": 1}}',
         "wrong arguments", "zone is true, and 1 is due"),
        (called(("time", {"zone": 1})), '{"name": "time"}',
         "wrong arguments", "zone is 1, and none is due"),
        (called(("time", {})), '{"name": "time", "arguments": {"zone": 1}}',
         "wrong arguments", "zone is missing, and 1 is due"),
        (PARIS, "none", "call where none is due", "it calls weather"),
        ("It is sunny.", PARIS, "no call where one is due", "weather is due"),
    ],
)  # fmt: skip
def test_what_is_wrong(tuned: Reply | str, reference: str, fault: str | None, said: str) -> None:
    found = tool_calls(pair(tuned, reference, base=PARIS))
    assert (found.details["fault"], found.value) == (fault, float(fault is None))
    if fault is not None:
        (problem,) = found.details["problems"]
        assert problem.startswith(f"{fault}: ")
        assert said in problem
    assert (found.details["base"] == 1) == (reference in (PARIS, f"[{PARIS}]"))


def test_a_callable_says_what_is_due() -> None:
    due = {"name": "weather", "arguments": {"city": "Rome"}}
    reply = called(("weather", {"city": "Rome"}))
    forms: list[Any] = [due, [due], json.dumps(due), reply.tool_calls]
    for _ in range(len(forms)):
        assert tool_calls(pair(reply, None), expected=lambda _: forms.pop()).value == 1
    assert tool_calls(pair(reply, None), expected=lambda _: None).value == 0
    assert tool_calls(pair("No.", None), expected=lambda _: []).value == 1


def test_what_cannot_be_judged() -> None:
    assert "no reference" in (tool_calls(pair(PARIS, None)).unsupported or "")
    assert "offers no tools" in (tool_calls(pair(PARIS, tools=())).unsupported or "")
    with pytest.raises(ConfigError, match=r"a call of 'storm' is expected, and the probe offers"):
        tool_calls(pair(PARIS, '{"name": "storm"}'))
    with pytest.raises(ConfigError, match="what is expected is no call"):
        tool_calls(pair(PARIS, '{"tool": "weather"}'))
    with pytest.raises(ConfigError, match="give 'reference', or a callable"):
        tool_calls(pair(PARIS), expected="answer")
    with pytest.raises(ConfigError, match="tool weather: this is not a JSON schema"):
        bad = parse_tools([{"name": "weather", "parameters": {"type": "dict"}}])
        tool_calls(pair(PARIS, tools=bad))
    with pytest.raises(ConfigError, match="judges a set"):
        assert_tool_calls(pair(PARIS), at_least=1)
    with pytest.raises(ConfigError, match="lost_at_most=2: give a number from 0 to less than 1"):
        assert_tool_calls([pair(PARIS)], lost_at_most=2)


@pytest.mark.parametrize(
    "reference",
    [
        "weather",
        "`weather()`",
        "weather(city='Paris')",
        'weather\n{"city": "Paris"',
        '```json\n{"name": "weather", "arguments": {"city": "Paris"}\n```',
        'I call {"name": "weather", "arguments": {"city": "Paris"}}',
        '<tool_cal>{"name": "weather", "arguments": {"city": "Paris"}}</tool_cal>',
        '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}</tool_call>',
        '{"name": "weather", "argumnets": {"city": "Paris"}}',
        '{"name": "time", "argumnets": {"zone": 1}}',
        '{"name": "weather", "arguments": {"town": "Paris"}}',
        '{"name": "weather", "arguments": {"city": 7}}',
    ],
)
def test_a_misspelt_call_is_no_answer_in_words(reference: str) -> None:
    with pytest.raises(ConfigError, match="what is expected is no call"):
        tool_calls(pair("It is sunny.", reference))


@pytest.mark.parametrize(
    "reference", ["The weather is fine.", "I asked weather, and it says: 20 °C (warm).", "Nothing."]
)
def test_an_answer_in_words_may_name_a_tool(reference: str) -> None:
    assert tool_calls(pair("It is sunny.", reference)).value == 1


def test_tools_are_told_apart_by_their_whole_names() -> None:
    long = "a" * 90
    tools = parse_tools([{"name": long}, {"name": "b"}, {"name": "c"}])
    due = json.dumps({"name": long, "arguments": {}})
    assert tool_calls(pair(called((f"{long}x", {})), due, tools=tools)).value == 0
    due = '[{"name": "b"}, {"name": "c"}]'
    found = tool_calls(pair(called(("b, c", {})), due, tools=tools))
    assert found.details["fault"] == "wrong tool"


def test_without_jsonschema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    with pytest.raises(MissingPackageError, match=r'pip install "pytest-llmdiff\[schema\]"'):
        tool_calls(pair(PARIS))
    assert tool_calls(pair(called(("time", {})), '{"name": "time"}', tools=TOOLS[1:])).value == 1


SUITE = """
import pytest
from pytest_llmdiff import assert_tool_calls

@pytest.mark.llmdiff(file="probes.jsonl")
def test_calls(comparisons):
    assert_tool_calls(comparisons, {limit})
"""
ROME = PARIS.replace("Paris", "Rome")
WRONG = [f"<tool_call>{ROME}</tool_call>", '{"name": "time", "arguments": {}}', "It is sunny."]


def write(project: pytest.Pytester, sides: list[tuple[str, str]], limit: str) -> None:
    for place, name in enumerate(("base", "tuned")):
        replies = {f"question {n}": side[place] for n, side in enumerate(sides)}
        (project.path / f"{name}.json").write_text(json.dumps({"replies": replies}))
    rows = [
        {"prompt": f"question {n}", "tools": [WEATHER, TIME], "reference": json.loads(PARIS)}
        for n in range(len(sides))
    ]
    (project.path / "probes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    project.makepyfile(SUITE.replace("{limit}", limit))


@pytest.mark.parametrize(
    ("limit", "outcome", "value"),
    [
        ("at_least=0.9", "regressed", 0.7),
        ("at_least=0.5", "passed", 0.7),
        ("drop_at_most=0.1", "regressed", 0.3),
        ("lost_at_most=0.1", "regressed", 0.3),
        ("lost_at_most=0.5", "passed", 0.3),
    ],
)
def test_a_set(project: pytest.Pytester, run: Run, limit: str, outcome: str, value: float) -> None:
    sides = [(PARIS, PARIS)] * 70 + [(PARIS, wrong) for wrong in WRONG for _ in range(10)]
    write(project, sides, limit)
    result = run("--llmdiff-json=report.json", "--llmdiff-html=report.html")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    (row,) = report["tests"]
    (found,) = row["verdicts"]
    assert (found["outcome"], found["value"]) == (outcome, pytest.approx(value))
    kinds = ("wrong tool", "wrong arguments", "no call where one is due")
    assert found["details"]["counts"] == dict.fromkeys(kinds, 10)
    if outcome == "regressed":
        result.stdout.fnmatch_lines(["*test_calls*", "*  - question-*: *"])
        assert any(kind in result.stdout.str() for kind in kinds)
        page = (project.path / "report.html").read_text(encoding="utf-8")
        assert "wrong arguments: of weather, city is" in page
        assert "wrong tool: 10, wrong arguments: 10, no call where one is due: 10" in page
    shown = row["comparisons"][0]
    assert shown["messages"][0]["tools"] == list(TOOLS)
    assert shown["base"]["tool_calls"] == [json.loads(PARIS)]


def test_recordings_have_tools_and_calls(project: pytest.Pytester, run: Run) -> None:
    write(project, [(PARIS, PARIS)] * 30 + [(PARIS, WRONG[0])] * 2, "at_least=0.5")
    run("--llmdiff-record=run.jsonl").assert_outcomes(passed=1)
    for name in ("base", "tuned"):
        (project.path / f"{name}.json").unlink()
    again = ["--llm-base=replay:run.jsonl", "--llm-tuned=replay:run.jsonl", "--llmdiff-store=new"]
    run(*again).assert_outcomes(passed=1)
    # With another tool, the prompts are other ones, and nothing recorded answers them.
    rows = (project.path / "probes.jsonl").read_text().replace("The weather of a", "Weather in a")
    (project.path / "probes.jsonl").write_text(rows)
    result = run(*again)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*record again with --llmdiff-record*"])


def test_a_probe_is_another_with_other_tools() -> None:
    ids = {make_probe("x", tools=tools).digest for tools in ((), TOOLS, TOOLS[:1], TOOLS[::-1])}
    assert len(ids) == 4
    assert make_probe("x", system="s", tools=TOOLS).messages[0]["tools"] == list(TOOLS)
    assert Probe(id="x", messages=({"role": "user", "content": "x"},)).tools == []
