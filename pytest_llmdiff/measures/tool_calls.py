"""Calls of tools: the right tool, valid and right arguments, and no call where none is due."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.data.text.formats import Check, schema_check, unfenced
from pytest_llmdiff.data.tools.calls import ToolCall, parse_calls
from pytest_llmdiff.data.tools.definitions import name_of
from pytest_llmdiff.data.tools.text_forms import calls_in
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.limits import check_within
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.retention import NO_REFERENCE
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.shares import share_view, shares
from pytest_llmdiff.measures.subject import Subject, measured, set_of
from pytest_llmdiff.verdicts.views import View

Due = ToolCall | Mapping[str, Any] | Sequence[ToolCall | Mapping[str, Any]] | str | None
Expected = str | Callable[[Probe], Due]

NO_TOOLS = (
    "the probe offers no tools: give them with tools= of the marker, or in the column tools of a "
    "probe file"
)
NONE_DUE = ("none", "null", "[]")
# What only a text that means a call has, so that one that is misspelt is not taken for words.
MEANT = re.compile(
    r'"name"\s{0,9}:|</?\s{0,9}tool_calls?|</?function\b|\[?/?TOOL_CALLS?\]|python_tag|'
    r"Action Input|<arg_key|tool▁",
    re.IGNORECASE,
)
SHOWN = 80  # characters of an argument
# What can be wrong with a reply.
FAULTS = (
    "wrong tool", "invalid arguments", "wrong arguments", "call where none is due",
    "no call where one is due",
)  # fmt: skip
SHARES = shares(
    "tool calls",
    unit="share of right replies",
    noun="calls",
    base_right="tool calls of the base",
    wrong="wrong tool call",
    base_wrong="wrong tool call of the base",
    lost="tool call less right than the base's",
)
LOST = share_view("tool call lost", lambda m: m["base"] > m["tuned"], relative=True)
GAINED = share_view("tool call gained", lambda m: m["tuned"] > m["base"], relative=True)
BASE_RIGHT = share_view("right tool calls of the base", lambda m: m["base"], relative=True)


def _counted(fault: str) -> View:
    return share_view(fault, lambda m: m["fault"] == fault)


COUNTS = {fault: _counted(fault) for fault in FAULTS}


@dataclass(frozen=True, kw_only=True)
class ToolCalls:
    """1 if the tuned reply calls the tools that are due, with the right arguments, else 0.

    `details` has that of both sides, and what is wrong: `fault` is one of `FAULTS` or None, and
    `problems` says it in a sentence; `base_fault` and `base_problems` are those of the base.
    """

    expected: Expected = "reference"

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        known: dict[str, dict[str, _Tool]] = {}
        found = []
        for comparison in comparisons:
            tools = comparison.probe.tools
            key = json.dumps(tools)
            if key not in known:
                known[key] = {name_of(tool): _Tool.of(tool) for tool in tools}
            found.append(self._measurement(comparison, known[key]))
        return found

    def _measurement(self, comparison: Comparison, tools: Mapping[str, _Tool]) -> Measurement:
        probe = comparison.probe
        if not tools:
            return SHARES.unjudged(NO_TOOLS)
        if self.expected == "reference" and not (probe.reference or "").strip():
            return SHARES.unjudged(NO_REFERENCE)
        due = _due(probe, self.expected, tools)
        base, tuned = (_fault(reply, due, tools) for reply in (comparison.base, comparison.tuned))
        return SHARES.measurement(
            float(base is None),
            float(tuned is None),
            fault=tuned and tuned[0],
            problems=[": ".join(tuned)] if tuned else [],
            base_fault=base and base[0],
            base_problems=[": ".join(base)] if base else [],
        )


@dataclass(frozen=True, kw_only=True)
class _Tool:
    """What is known of a tool: how to check arguments, and their default values."""

    check: Check | None
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, tool: Mapping[str, Any]) -> _Tool:
        schema = tool["function"].get("parameters")
        check = None if schema is None else schema_check(schema, f"tool {name_of(tool)}")
        properties = (schema or {}).get("properties")
        named = properties.items() if isinstance(properties, Mapping) else ()
        defaults = {
            name: each["default"]
            for name, each in named
            if isinstance(each, Mapping) and "default" in each
        }
        return cls(check=check, defaults=defaults)

    def full(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.defaults, **arguments}


def _due(probe: Probe, expected: Expected, tools: Mapping[str, _Tool]) -> tuple[ToolCall, ...]:
    """The calls that are due.

    Raises:
        ConfigError: what is expected is no call, or one of a tool that the probe does not offer.
    """
    given: Any = expected(probe) if callable(expected) else probe.reference
    try:
        if given is None or (isinstance(given, str) and given.strip().lower() in NONE_DUE):
            return ()
        if isinstance(given, str):
            due = calls_in(given, tools) or _in_words(given, tools)
        else:
            due = parse_calls(given)
    except ValueError as error:
        raise ConfigError(f"{probe.id}: what is expected is no call: {error}") from error
    for call in due:
        if call.name not in tools:
            raise ConfigError(
                f"{probe.id}: a call of {call.name!r} is expected, and the probe offers "
                f"{', '.join(map(repr, tools))}"
            )
        # No reply could be right: both models would be as bad, and no limit of a drop could break.
        if (problem := _invalid(call, tools[call.name])) is not None:
            raise ConfigError(
                f"{probe.id}: what is expected is no call that {call.name} can take: {problem}"
            )
    return due


def _in_words(given: str, tools: Mapping[str, _Tool]) -> tuple[ToolCall, ...]:
    """The calls of a text that has none in a form of models: as JSON, or none if it is words.

    Raises:
        ValueError: it is no answer in words either.
    """
    text = unfenced(given)
    if text.startswith(("{", "[")):
        return parse_calls(text)
    named = "|".join(re.escape(name) for name in tools)
    alone = text.strip("\"'`()<>. \n") in tools
    if not text or alone or MEANT.search(text) or re.search(rf"\b({named})\s{{0,9}}[({{]", text):
        raise ValueError(
            f'{text[:SHOWN]!r} cannot be read as one, and is no answer in words; give {{"name": '
            '"...", "arguments": {...}}, or "none"'
        )
    return ()


def _fault(
    reply: Reply, due: Sequence[ToolCall], tools: Mapping[str, _Tool]
) -> tuple[str, str] | None:
    """What is wrong with a reply, and a sentence on it; None for nothing."""
    calls = reply.tool_calls or calls_in(reply.text, tools)
    called, wanted = _names(calls), _names(due)
    if not due:
        return (FAULTS[3], f"it calls {called}") if calls else None
    if not calls:
        return FAULTS[4], f"{wanted} is due"
    if sorted(call.name for call in calls) != sorted(call.name for call in due):
        return FAULTS[0], f"it calls {called}, and {wanted} is due"
    for call in calls:
        if (problem := _invalid(call, tools[call.name])) is not None:
            return FAULTS[1], f"of {call.name}, {problem}"
    return _wrong_arguments(calls, due, tools)


def _names(calls: Sequence[ToolCall]) -> str:
    """The tools, in an order of their own: calls may come in any."""
    return ", ".join(sorted(call.name[:SHOWN] or "what cannot be read" for call in calls))


def _invalid(call: ToolCall, tool: _Tool) -> str | None:
    if not isinstance(call.arguments, Mapping):
        return f"they are no JSON object: {_shown(call.arguments)}"
    return None if tool.check is None else tool.check(call.arguments)


def _wrong_arguments(
    calls: Sequence[ToolCall], due: Sequence[ToolCall], tools: Mapping[str, _Tool]
) -> tuple[str, str] | None:
    left = list(due)
    for call in calls:
        full = tools[call.name].full
        ours = full(call.arguments)
        same = [each for each in left if each.name == call.name]
        match = next((each for each in same if _equal(full(each.arguments), ours)), None)
        if match is None:
            theirs = full(same[0].arguments) if same else {}
            return FAULTS[2], f"of {call.name}, {_difference(ours, theirs)}"
        left.remove(match)
    return None


def _difference(ours: Mapping[str, Any], due: Mapping[str, Any]) -> str:
    name = next(
        name
        for name in [*due, *ours]
        if name not in ours or name not in due or not _equal(ours[name], due[name])
    )
    shown = str(name)[:SHOWN]
    if name not in ours:
        return f"{shown} is missing, and {_shown(due[name])} is due"
    wanted = f"{_shown(due[name])} is due" if name in due else "none is due"
    return f"{shown} is {_shown(ours[name])}, and {wanted}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _equal(a: object, b: object) -> bool:
    """Whether JSON values are the same: 1 is 1.0, and neither is true."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def assert_tool_calls(
    subject: Subject,
    *,
    expected: Expected = "reference",
    at_least: float | None = None,
    drop_at_most: float | None = None,
    lost_at_most: float | None = None,
) -> None:
    """The tuned model calls the right tools, with valid and right arguments, and none where none
    is due.

    Args:
        subject: a set of comparisons whose probes offer `tools`.
        expected: what is due. By default the probe's `reference`: a call as JSON, `{"name",
            "arguments"}`, or a list of them, or "none". A text without calls also says that none
            is due. A callable takes the probe, and returns a call, a list of calls or None.
        at_least: the smallest share (0 to 1) of right replies of the tuned model.
        drop_at_most: by how much that share may be below the base's, 0 to 1.
        lost_at_most: the largest share (0 to 1) of wrong replies, among those where the base is
            right.

    Raises:
        AssertionError: a limit is broken or missing, nothing is expected, or the set is too small
            to decide.
        ConfigError: a limit is not between 0 and 1, the subject is a single comparison, or what is
            expected is no call of an offered tool.
        MissingPackageError: a tool has parameters, and the package jsonschema is missing.
    """
    __tracebackhide__ = True
    limits = {"at_least": at_least, "drop_at_most": drop_at_most, "lost_at_most": lost_at_most}
    check_within(limits, 0, 1)
    told: dict[str, Any] = {"counted": COUNTS, "problems": True}
    questions = []
    if at_least is not None:
        questions.append(SHARES.level(at_least, **told))
    if drop_at_most is not None or (at_least is None and lost_at_most is None):
        questions.append(SHARES.drop(drop_at_most, **told))
    if lost_at_most is not None:
        questions.append(
            Question(
                view=LOST, at_most=lost_at_most, opposite=GAINED, among=BASE_RIGHT, **told
            )
        )  # fmt: skip
    metric = ToolCalls(expected=_checked(expected))
    settle(set_of(subject, "assert_tool_calls", "tool_calls"), metric, questions)


def _checked(expected: Expected) -> Expected:
    if expected == "reference" or callable(expected):
        return expected
    raise ConfigError(
        f"expected={expected!r}: give 'reference', or a callable that takes a probe and returns a "
        "call, a list of calls or None"
    )


@overload
def tool_calls(subject: Comparison, *, expected: Expected = ...) -> Measurement: ...
@overload
def tool_calls(subject: Iterable[Comparison], *, expected: Expected = ...) -> list[Measurement]: ...
def tool_calls(
    subject: Subject, *, expected: Expected = "reference"
) -> Measurement | list[Measurement]:
    """1 if the tuned reply calls what is due, and nothing else, else 0; `details` has the base's,
    and what is wrong with either.

    `expected` is that of `assert_tool_calls`.
    """
    return measured(ToolCalls(expected=_checked(expected)), subject)
