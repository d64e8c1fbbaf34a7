"""The helper of formats: JSON, patterns, choices and tool calls, kept as often as by the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.judgement import Question, members_of, settle
from pytest_llmdiff.metrics.format import (
    Format,
    FormatKept,
    choice_format,
    gained,
    json_format,
    kept_by_base,
    lost,
    pattern_format,
    tool_format,
)
from pytest_llmdiff.views import View

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
