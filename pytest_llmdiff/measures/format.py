"""Does a reply keep the format that was asked for: JSON, a pattern, a choice, a tool call?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.formats import (
    Format,
    choice_format,
    json_format,
    pattern_format,
    tool_format,
)
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

Tools = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class FormatKept:
    """1 if the tuned reply does not have the format that its probe asks for, else 0.

    `details` says what is wrong with the `base` reply and with the `tuned` one; None for nothing.
    """

    format_of: Callable[[Comparison], Format]

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        return [self._measurement(comparison) for comparison in comparisons]

    def _measurement(self, comparison: Comparison) -> Measurement:
        problem_of = self.format_of(comparison)
        base, tuned = problem_of(comparison.base.text), problem_of(comparison.tuned.text)
        return Measurement(
            name="format broken",
            value=float(tuned is not None),
            unit="reply",
            details={"base": base, "tuned": tuned},
        )


def lost(measurement: Measurement) -> Measurement:
    """1 if the base keeps the format and the tuned model does not, else 0."""
    base, tuned = _kept(measurement)
    return _named(measurement, "format lost", base and not tuned)


def gained(measurement: Measurement) -> Measurement:
    """1 if the tuned model keeps the format and the base does not, else 0."""
    base, tuned = _kept(measurement)
    return _named(measurement, "format gained", tuned and not base)


def kept_by_base(measurement: Measurement) -> Measurement:
    """1 if the base keeps the format, else 0."""
    base, _ = _kept(measurement)
    return _named(measurement, "format kept by the base", base)


def _kept(measurement: Measurement) -> tuple[bool, bool]:
    """Whether base and tuned model keep the format."""
    return measurement.details["base"] is None, measurement.details["tuned"] is None


def _named(measurement: Measurement, name: str, value: bool) -> Measurement:
    return Measurement(
        name=name, value=float(value), unit=measurement.unit, details=measurement.details
    )


SUPPORT = (0.0, 1.0)
LOST = View(support=SUPPORT, of=lost, relative=True)
GAINED = View(support=SUPPORT, of=gained, relative=True)
KEPT_BY_BASE = View(support=SUPPORT, of=kept_by_base, relative=True)


def assert_format_kept(
    subject: Subject,
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
    lost_at_most: float | None = None,
) -> None:
    """The tuned reply keeps the requested format wherever the base reply does.

    Give exactly one of the formats.

    Args:
        subject: a comparison, or a set of them.
        json: the reply is JSON; a Markdown code fence around it is ignored.
        schema: the reply is JSON that is valid against this JSON schema (needs the package
            jsonschema).
        matches: the whole reply matches this regular expression.
        choices: the reply is one of these texts, ignoring case, quotes and a full stop.
        tool: the reply calls this tool, or one of these: `{"name": ..., "arguments": {...}}`.
        lost_at_most: for a set, the largest share (0 to 1) of replies without the format, among
            those whose base reply has it; for a comparison, 0 allows no loss.

    Raises:
        AssertionError: the limit is exceeded or missing, or the set is too small to decide; for a
            set, also if no base reply has the format.
        ConfigError: not exactly one format is given, or it is invalid.
    """
    __tracebackhide__ = True
    wanted = _format(json=json, schema=schema, matches=matches, choices=choices, tool=tool)
    settle(subject, FormatKept(format_of=lambda _: wanted), [lost_question(at_most=lost_at_most)])


def lost_question(*, at_most: float | None) -> Question:
    """The share of replies that lost their format, among those whose base reply has it."""
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
    subject: Subject,
    *,
    json: bool = False,
    schema: Mapping[str, Any] | None = None,
    matches: str | None = None,
    choices: Sequence[str] | None = None,
    tool: Tools | None = None,
) -> Measurement | list[Measurement]:
    """1 if the tuned reply does not have the requested format, else 0.

    The arguments are those of `assert_format_kept`. `details` says what is wrong with the `base`
    reply and with the `tuned` one; None for nothing.
    """
    wanted = _format(json=json, schema=schema, matches=matches, choices=choices, tool=tool)
    return measured(FormatKept(format_of=lambda _: wanted), subject)


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
