"""Formats of replies: which text has which, and what the tuned model loses of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdiff import (
    Comparison,
    ConfigError,
    MissingPackageError,
    Probe,
    Reply,
    assert_format_kept,
    format_kept,
)
from tests.support.projects import Run

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {"name": "weather", "parameters": {"type": "object", "required": ["city"]}}
OPENAI = [{"type": "function", "function": TOOL}]
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'
GOOD, BAD = '{"a": 1}', "Sure! Here is your JSON."


def pair(base: str, tuned: str) -> Comparison:
    probe = Probe(id="a", messages=({"role": "user", "content": "As JSON, please."},))
    return Comparison(probe=probe, base=Reply(text=base), tuned=Reply(text=tuned))


def problem(text: str, **form: Any) -> str | None:
    measurement = format_kept(pair(GOOD, text), **form)
    found: str | None = measurement.details["tuned"]
    assert float(measurement) == (found is not None)
    return found


@pytest.mark.parametrize(
    "text", ["{}", "[1, 2]", ' "a" \n', "```json\n{}\n```", "```\n[]\n```", "5", "null"]
)
def test_json(text: str) -> None:
    assert problem(text, json=True) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"), ("  ", "it is empty"), ("```json\n\n```", "it is empty"),
        ("Sure: {}", "it is not JSON: Expecting value"), ("{} I hope this helps!", "Extra data"),
        ("{'a': 1}", "it is not JSON"), ("[NaN]", "JSON has no NaN"), ("{", "it is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_no_json(text: str, why: str) -> None:
    assert why in (problem(text, json=True) or "")


@given(st.text())
def test_any_text_is_json_or_has_a_problem(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        return
    assert problem(text, json=True) is None or "NaN" in text or "Infinity" in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "Ann", "age": 3}', None),
        ('```json\n{"name": "Ann", "age": 3}\n```', None),
        ('{"name": "Ann"}', "at $: 'age' is a required property"),
        ('{"name": "Ann", "age": -1}', "at $.age: -1 is less than the minimum of 0"),
        ('{"name": "Ann", "age": 3, "b": 1}', "Additional properties are not allowed"),
        ("[]", "at $: [] is not of type 'object'"),
        ("Ann is 3", "it is not JSON"),
    ],
)
def test_schema(text: str, why: str | None) -> None:
    pytest.importorskip("jsonschema")
    found = problem(text, schema=SCHEMA)
    assert found is None if why is None else why in (found or "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [("2020-01-31", True), (" 2020-01-31\n", True), ("On 2020-01-31", False), ("", False)],
)
def test_pattern(text: str, kept: bool) -> None:
    assert (problem(text, matches=r"\d{4}-\d\d-\d\d") is None) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("yes", True), ("Yes.", True), ('"NO"', True), ("**yes**", True), ("是。", True),
     ("Yes, it is.", False), ("maybe", False), ("", False), ("yes no", False)],
)  # fmt: skip
def test_choice(text: str, kept: bool) -> None:
    assert (problem(text, choices=["yes", "no", "是"]) is None) == kept


@pytest.mark.parametrize("tool", [TOOL, OPENAI, {"name": "weather"}])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CALL, None), (f"<tool_call>\n{CALL}\n</tool_call>", None), (f"```json\n{CALL}\n```", None),
        (json.dumps({"name": "weather", "arguments": '{"city": "Rome"}'}), None),
        ('{"name": "news", "arguments": {}}', "an unknown tool"),
        ('{"name": "weather"}', "not an object with exactly the keys name and arguments"),
        ('{"name": "weather", "arguments": [1]}', "its arguments are not an object"),
        ('{"name": "weather", "arguments": "Rome"}', "its arguments: it is not JSON"),
        ('{"name": ["weather"], "arguments": {}}', "an unknown tool"),
        ("weather(Rome)", "it is not JSON"), ("[]", "not an object with exactly"),
    ],
)  # fmt: skip
def test_tool(tool: Any, text: str, why: str | None) -> None:
    if tool != {"name": "weather"}:
        pytest.importorskip("jsonschema")
    found = problem(text, tool=tool)
    assert found is None if why is None else why in (found or "")


def test_arguments_are_held_against_the_parameters() -> None:
    pytest.importorskip("jsonschema")
    found = problem('{"name": "weather", "arguments": {"town": "Rome"}}', tool=TOOL)
    assert found == "its arguments: at $: 'city' is a required property"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "take one of json=True, schema=, matches=, choices= and tool=, not none"),
        ({"json": True, "matches": "a"}, "not json and matches"),
        ({"matches": "("}, "not a regular expression"),
        ({"choices": []}, "give a list of texts"),
        ({"choices": "yes"}, "give a list of texts"),
        ({"tool": {"parameters": {}}}, "a tool has a name"),
        ({"tool": []}, "give at least one tool"),
    ],
)
def test_formats_that_are_none(form: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        format_kept(pair(GOOD, GOOD), **form)


@pytest.mark.parametrize(
    ("schema", "message"),
    [({"type": "text"}, "schema=: this is not a JSON schema: 'text' is not"),
     ({"$ref": "https://example.org/none.json"}, "schema=: a .ref cannot be resolved")],
)  # fmt: skip
def test_schemas_that_are_none(schema: dict[str, Any], message: str) -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(ConfigError, match=message):
        format_kept(pair(GOOD, GOOD), schema=schema)


def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(MissingPackageError, match=r'pip install "pytest-llmdiff\[schema\]"'):
        format_kept(pair(GOOD, GOOD), schema=SCHEMA)
    assert format_kept(pair(GOOD, GOOD), json=True).value == 0


# One comparison and sets


@pytest.mark.parametrize(
    ("base", "tuned", "limit", "outcome"),
    [(GOOD, GOOD, 0, None), (GOOD, BAD, 0, "format lost 1, limit 0"), (BAD, BAD, 0, None),
     (BAD, GOOD, 0, None), (GOOD, BAD, None, "has no limit: .* such as lost_at_most=0")],
)  # fmt: skip
def test_one_comparison(base: str, tuned: str, limit: float | None, outcome: str | None) -> None:
    if outcome is None:
        assert_format_kept(pair(base, tuned), json=True, lost_at_most=limit)
        return
    with pytest.raises(AssertionError, match=outcome):
        assert_format_kept(pair(base, tuned), json=True, lost_at_most=limit)


def models(folder: Path, sides: Sequence[tuple[str, str]]) -> None:
    for index, name in enumerate(("base", "tuned")):
        replies = {f"question {n}": side[index] for n, side in enumerate(sides)}
        (folder / f"{name}.json").write_text(json.dumps({"replies": replies, "default": "?"}))
    rows = [json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(len(sides))]
    (folder / "probes.jsonl").write_text("".join(rows))


@pytest.mark.parametrize(
    ("sides", "outcome", "value"),
    [
        ([(GOOD, GOOD)] * 60, "passed", 0),
        # Of those that the base keeps: what it never kept makes no loss look small.
        ([(GOOD, BAD)] * 20 + [(GOOD, GOOD)] * 20 + [(BAD, BAD)] * 160, "regressed", 0.5),
        ([(GOOD, GOOD)] * 10 + [(BAD, GOOD)] * 60, "not_judged", 0),
        ([(BAD, GOOD)] * 60, "not_judged", None),
    ],
)
def test_a_set(
    project: pytest.Pytester, run: Run, sides: list[tuple[str, str]], outcome: str,
    value: float | None,
) -> None:  # fmt: skip
    models(project.path, sides)
    project.makepyfile(
        """
        import pytest
        from pytest_llmdiff import assert_format_kept

        @pytest.mark.llmdiff(file="probes.jsonl")
        def test_json(comparisons):
            assert_format_kept(comparisons, json=True, lost_at_most=0.1)
        """
    )
    run("--llmdiff-json=report.json")
    report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
    (found,) = report["tests"][0]["verdicts"]
    assert (found["name"], found["outcome"], found["value"]) == ("format lost rate", outcome, value)
    details = {name: sides.count(side) for name, side in
               (("format lost", (GOOD, BAD)), ("format gained", (BAD, GOOD)))}  # fmt: skip
    net = details["format lost"] - details["format gained"]
    ways = {"moved": "format lost", "opposite": "format gained", "net": net}
    assert found["details"] == details | ways
    kept = sum(base == GOOD for base, _ in sides)
    assert found["set"]["judged"] == kept
    if outcome == "not_judged":
        few = f"format kept by the base: {kept} of {len(sides)}, and 29 are needed"
        none = "no format kept by the base: nothing can be lost"
        assert (few if kept else none) in found["unsupported"]
