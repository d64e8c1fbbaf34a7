"""Does a reply have the form that was asked for: JSON, a pattern, a choice, a tool call?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError, MissingPackageError
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.measures.subject import members_of
from pytest_llmdiff.verdicts.views import View

# Why a text does not have a form, or None where it has.
Format = Callable[[str], str | None]

SHOWN = 160  # characters of what a schema says about a reply
_FENCE = re.compile(r"\A```[\w-]*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_TOOL_CALL = re.compile(r"\A<tool_call>\s*(.*?)\s*</tool_call>\Z", re.DOTALL)
_AROUND = " \t\r\n\"'“”‘’「」*`.!。！"  # what a choice may stand in


@dataclass(frozen=True, kw_only=True)
class FormatKept:
    """1 where the tuned reply has not the form that its probe asks for, else 0.

    `details`: what is wrong with the `base` reply and with the `tuned` one, None where nothing is.
    """

    format_of: Callable[[Comparison], Format]

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        found = []
        for comparison in comparisons:
            problem = self.format_of(comparison)
            base, tuned = problem(comparison.base.text), problem(comparison.tuned.text)
            found.append(
                Measurement(
                    name="format broken",
                    value=float(tuned is not None),
                    unit="reply",
                    details={"base": base, "tuned": tuned},
                )
            )
        return found


def lost(measurement: Measurement) -> Measurement:
    """1 where the base keeps the format and the tuned model does not, else 0."""
    return _of(measurement, "format lost", measurement.details["base"] is None, broken="tuned")


def gained(measurement: Measurement) -> Measurement:
    """1 where the tuned model keeps the format and the base does not, else 0."""
    return _of(measurement, "format gained", measurement.details["tuned"] is None, broken="base")


def kept_by_base(measurement: Measurement) -> Measurement:
    """1 where the base keeps the format, else 0."""
    return _of(measurement, "format kept by the base", measurement.details["base"] is None)


def _of(
    measurement: Measurement, name: str, kept: bool, *, broken: str | None = None
) -> Measurement:
    value = kept and (broken is None or measurement.details[broken] is not None)
    return Measurement(
        name=name, value=float(value), unit=measurement.unit, details=measurement.details
    )


# The forms


def json_format(schema: Mapping[str, Any] | None = None) -> Format:
    """A reply that is JSON and nothing else, a Markdown code fence around it apart; with a schema,
    JSON that it allows (https://json-schema.org).

    Raises:
        ConfigError: the schema is none.
        MissingPackageError: a schema is given, and the package jsonschema is missing.
    """
    check = None if schema is None else _schema_check(schema, "schema=")
    return partial(_json_problem, check=check)


def pattern_format(pattern: str) -> Format:
    """A reply that matches a regular expression as a whole, blanks around it apart.

    Raises:
        ConfigError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"matches={pattern!r} is no regular expression: {error}") from error
    return partial(_pattern_problem, pattern=compiled)


def choice_format(choices: Sequence[str]) -> Format:
    """A reply that is one of the choices and nothing else; case, quotes and a full stop apart.

    Raises:
        ConfigError: there is no choice, or one is no text.
    """
    if isinstance(choices, str) or not choices or not all(isinstance(c, str) for c in choices):
        raise ConfigError(f"choices={choices!r}: give a list of texts, such as ['yes', 'no']")
    return partial(_choice_problem, choices={_bare(choice) for choice in choices})


def tool_format(tools: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Format:
    """A reply that calls one of the tools: a JSON object with its `name` and with `arguments` that
    its `parameters` (a JSON schema) allow; `<tool_call>` around it is taken off.

    Args:
        tools: one or several, each `{"name", "parameters"}`, or as OpenAI's API takes it, with
            `{"type": "function", "function": ...}` around.

    Raises:
        ConfigError: a tool has no name, or its parameters are no schema.
        MissingPackageError: a tool has parameters, and the package jsonschema is missing.
    """
    checks: dict[str, Callable[[Any], str | None] | None] = {}
    for given in [tools] if isinstance(tools, Mapping) else tools:
        tool = given.get("function", given)
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ConfigError(f"tool={given!r}: a tool has a name, and parameters as a JSON schema")
        parameters = tool.get("parameters")
        checks[name] = None if parameters is None else _schema_check(parameters, f"tool {name}")
    if not checks:
        raise ConfigError("tool=[]: give at least one tool")
    return partial(_tool_problem, checks=checks)


def _json_problem(text: str, *, check: Callable[[Any], str | None] | None) -> str | None:
    try:
        value = _json_of(text)
    except ValueError as error:
        return str(error)
    return None if check is None else check(value)


def _json_of(text: str) -> Any:
    text = text.strip()
    if (fenced := _FENCE.match(text)) is not None:
        text = fenced[1]
    if not text:
        raise ValueError("it is empty")
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not in JSON")


def _pattern_problem(text: str, *, pattern: re.Pattern[str]) -> str | None:
    return None if pattern.fullmatch(text.strip()) else f"it does not match {pattern.pattern}"


def _bare(text: str) -> str:
    return text.strip(_AROUND).casefold()


def _choice_problem(text: str, *, choices: set[str]) -> str | None:
    return None if _bare(text) in choices else "it is none of the choices"


def _tool_problem(
    text: str, *, checks: Mapping[str, Callable[[Any], str | None] | None]
) -> str | None:
    text = text.strip()
    if (tagged := _TOOL_CALL.match(text)) is not None:
        text = tagged[1]
    try:
        call = _json_of(text)
    except ValueError as error:
        return str(error)
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return "it is no object with name and arguments alone"
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or name not in checks:
        return "it calls a tool that there is not"
    if isinstance(arguments, str):  # as OpenAI's API has them
        try:
            arguments = _json_of(arguments)
        except ValueError as error:
            return f"its arguments: {error}"
    if not isinstance(arguments, dict):
        return "its arguments are no object"
    check = checks[name]
    problem = None if check is None else check(arguments)
    return None if problem is None else f"its arguments: {problem}"


def _schema_check(schema: Mapping[str, Any], given: str) -> Callable[[Any], str | None]:
    try:
        import jsonschema
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        raise MissingPackageError(
            "jsonschema", "checking replies against a JSON schema", "'pytest-llmdiff[schema]'"
        ) from error
    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except (jsonschema.SchemaError, TypeError, AttributeError) as error:
        why = getattr(error, "message", error)
        raise ConfigError(f"{given}: this is no JSON schema: {why}") from error
    # Of its own, so that no reference is fetched from the network.
    validator = kind(schema, registry=Registry())

    def check(value: Any) -> str | None:
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        except Unresolvable as problem:
            raise ConfigError(f"{given}: a $ref leads nowhere: {problem}") from problem
        except RecursionError:
            return "it is nested too deeply to be checked"
        return None if error is None else f"at {error.json_path}: {error.message[:SHOWN]}"

    return check


SUPPORT = (0.0, 1.0)
LOST = View(support=SUPPORT, of=lost, relative=True)
GAINED = View(support=SUPPORT, of=gained, relative=True)
KEPT_BY_BASE = View(support=SUPPORT, of=kept_by_base, relative=True)

Tools = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def assert_format_kept(
    subject: Comparison | Iterable[Comparison],
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
    lost_at_most: float | None = None,
) -> None:
    """The tuned reply has the form that was asked for where the base's has it.

    Args:
        subject: a comparison or a set of them.
        json: the reply is JSON; a Markdown code fence around it does not matter.
        schema: it is JSON that this JSON schema allows (needs the package jsonschema).
        matches: it matches this regular expression, as a whole.
        choices: it is one of these texts, case, quotes and a full stop apart.
        tool: it calls this tool, or one of these: `{"name": ..., "arguments": {...}}`.
        lost_at_most: of a set, the largest share of replies that lack the form among those of which
            the base's has it; of a comparison, 0 for none.

    Raises:
        AssertionError: the limit is broken, none is given, or the set is too small to tell; of a
            set also where the base has the form in no reply.
        ConfigError: not exactly one form is given, or it is none.
    """
    __tracebackhide__ = True
    wanted = _format(json=json, schema=schema, matches=matches, choices=choices, tool=tool)
    settle(subject, FormatKept(format_of=lambda _: wanted), [lost_question(at_most=lost_at_most)])


def lost_question(*, at_most: float | None) -> Question:
    """The question for replies that lost their form, among those of which the base's has it."""
    return Question(view=LOST, at_most=at_most, opposite=GAINED, among=KEPT_BY_BASE)


@overload
def format_kept(
    subject: Comparison,
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
) -> Measurement: ...
@overload
def format_kept(
    subject: Iterable[Comparison],
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
) -> list[Measurement]: ...
def format_kept(
    subject: Comparison | Iterable[Comparison],
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
) -> Measurement | list[Measurement]:
    """1 where the tuned reply has not the form that was asked for, else 0; `details` says what is
    wrong with the `base` reply and with the `tuned` one."""
    wanted = _format(json=json, schema=schema, matches=matches, choices=choices, tool=tool)
    metric = FormatKept(format_of=lambda _: wanted)
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    return metric.measure(list(members_of(subject)))


def _format(
    *,
    json: bool,
    schema: Mapping[str, Any] | None,
    matches: str | None,
    choices: Sequence[str] | None,
    tool: Tools | None,
) -> Format:
    given = {"json": json or None, "schema": schema, "matches": matches, "choices": choices,
             "tool": tool}  # fmt: skip
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigError(
            f"the format helpers take one of json=True, schema=, matches=, choices= and tool=, not "
            f"{' and '.join(named) or 'none'}"
        )
    if matches is not None:
        return pattern_format(matches)
    if choices is not None:
        return choice_format(choices)
    return json_format(schema) if tool is None else tool_format(tool)
