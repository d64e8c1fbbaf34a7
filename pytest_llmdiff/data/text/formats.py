"""Formats that a reply can be asked for: JSON, a pattern, one of some choices, a tool call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pytest_llmdiff.config.packages import require_packages
from pytest_llmdiff.data.text.schema_patterns import Patterns, has_patterns
from pytest_llmdiff.errors import ConfigError

# Returns why a text does not have the format, or None if it has.
Format = Callable[[str], str | None]
Check = Callable[[Any], str | None]

SHOWN = 160  # characters of a schema's complaint about a reply
_FENCE = re.compile(r"\A```[\w-]*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_TOOL_CALL = re.compile(r"\A<tool_call>\s*(.*?)\s*</tool_call>\Z", re.DOTALL)
_AROUND = " \t\r\n\"'“”‘’「」*`.!。！"  # stripped from both ends of a choice


def json_format(schema: Mapping[str, Any] | None = None) -> Format:
    """JSON and nothing else, apart from a Markdown code fence around it.

    Args:
        schema: a JSON schema (https://json-schema.org) that the value must be valid against.

    Raises:
        ConfigError: the schema is invalid.
        MissingPackageError: a schema is given, and the package jsonschema is missing.
    """
    check = None if schema is None else schema_check(schema, "schema=")
    return partial(_json_problem, check=check)


def pattern_format(pattern: str) -> Format:
    """A full match of a regular expression, ignoring white space around the text.

    Raises:
        ConfigError: the pattern is not a regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"matches={pattern!r} is not a regular expression: {error}") from error
    return partial(_pattern_problem, pattern=compiled)


def choice_format(choices: Sequence[str]) -> Format:
    """One of the choices and nothing else, ignoring case, quotes and a full stop.

    Raises:
        ConfigError: there is no choice, or one of them is not a text.
    """
    if isinstance(choices, str) or not choices or not all(isinstance(c, str) for c in choices):
        raise ConfigError(f"choices={choices!r}: give a list of texts, such as ['yes', 'no']")
    return partial(_choice_problem, choices={_bare(choice) for choice in choices})


def tool_format(tools: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Format:
    """A call of one of the tools: a JSON object with the tool's `name`, and with `arguments` that
    are valid against its `parameters` (a JSON schema). `<tool_call>` around it is stripped.

    Args:
        tools: one or several, each `{"name", "parameters"}`, or in the form of OpenAI's API,
            `{"type": "function", "function": {...}}`.

    Raises:
        ConfigError: a tool has no name, or its parameters are not a JSON schema.
        MissingPackageError: a tool has parameters, and the package jsonschema is missing.
    """
    checks: dict[str, Check | None] = {}
    for given in [tools] if isinstance(tools, Mapping) else tools:
        tool = given.get("function", given)
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ConfigError(f"tool={given!r}: a tool has a name, and parameters as a JSON schema")
        parameters = tool.get("parameters")
        checks[name] = None if parameters is None else schema_check(parameters, f"tool {name}")
    if not checks:
        raise ConfigError("tool=[]: give at least one tool")
    return partial(_tool_problem, checks=checks)


def _json_problem(text: str, *, check: Check | None) -> str | None:
    try:
        value = _json_of(text)
    except ValueError as error:
        return str(error)
    return None if check is None else check(value)


def unfenced(text: str) -> str:
    """The text without a Markdown code fence around it."""
    text = text.strip()
    fenced = _FENCE.match(text)
    return text if fenced is None else fenced[1]


def _json_of(text: str) -> Any:
    text = unfenced(text)
    if not text:
        raise ValueError("it is empty")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


def _pattern_problem(text: str, *, pattern: re.Pattern[str]) -> str | None:
    return None if pattern.fullmatch(text.strip()) else f"it does not match {pattern.pattern}"


def _bare(text: str) -> str:
    return text.strip(_AROUND).casefold()


def _choice_problem(text: str, *, choices: set[str]) -> str | None:
    return None if _bare(text) in choices else "it is not one of the choices"


def _tool_problem(text: str, *, checks: Mapping[str, Check | None]) -> str | None:
    text = text.strip()
    if (tagged := _TOOL_CALL.match(text)) is not None:
        text = tagged[1]
    try:
        call = _json_of(text)
    except ValueError as error:
        return str(error)
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return "it is not an object with exactly the keys name and arguments"
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or name not in checks:
        return "it calls an unknown tool"
    if isinstance(arguments, str):  # OpenAI's API has them as a string
        try:
            arguments = _json_of(arguments)
        except ValueError as error:
            return f"its arguments: {error}"
    if not isinstance(arguments, dict):
        return "its arguments are not an object"
    check = checks[name]
    problem = None if check is None else check(arguments)
    return None if problem is None else f"its arguments: {problem}"


def schema_check(schema: Mapping[str, Any], given: str) -> Check:
    """Says what is wrong with a value by a JSON schema, which errors call `given`.

    Raises:
        ConfigError: this is not a JSON schema; the check raises one too, where a pattern of the
            schema takes too long on a value.
        MissingPackageError: the package jsonschema is missing, or regex for patterns.
    """
    require_packages("schema", "checking replies against a JSON schema")
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except (jsonschema.SchemaError, TypeError, AttributeError) as error:
        why = getattr(error, "message", error)
        raise ConfigError(f"{given}: this is not a JSON schema: {why}") from error
    patterns = Patterns(given)
    if has_patterns(schema):
        require_packages("patterns", f"{given}: a pattern in a JSON schema")
        patterns.refuse(schema)
        kind = patterns.extend(kind)
    # An empty registry, so that no reference is fetched from the network.
    validator = kind(schema, registry=Registry())

    def check(value: Any) -> str | None:
        patterns.start()
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        except Unresolvable as problem:
            raise ConfigError(f"{given}: a $ref cannot be resolved: {problem}") from problem
        except RecursionError:
            return "it is nested too deeply to be checked"
        return None if error is None else f"at {error.json_path}: {error.message[:SHOWN]}"

    return check
