"""Patterns of a schema: the same answers as jsonschema's own, and an end in bounded time."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdiff import ConfigError
from pytest_llmdiff.data.text import bounded_search
from pytest_llmdiff.data.text.formats import schema_check

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("regex")

CODE = {"properties": {"code": {"type": "string", "pattern": "^[a-z]{2}[0-9]+$"}}}
NAMED = {
    "properties": {"id": {"type": "integer"}},
    "patternProperties": {"^x_": {"type": "string"}},
    "additionalProperties": False,
}
TYPED = {**NAMED, "additionalProperties": {"type": "boolean"}}
VALUES: list[Any] = [
    {"code": "ab12"}, {"code": "12ab"}, {"code": 3}, {}, [], "text", {"x_a": "yes"}, {"x_a": 1},
    {"id": 1, "other": True}, {"id": "1"}, {"other": "no"}, {"x_": "", "id": 2},
]  # fmt: skip


@pytest.mark.parametrize("schema", [CODE, NAMED, TYPED])
@pytest.mark.parametrize("value", VALUES)
def test_the_answers_are_those_of_jsonschema(schema: dict[str, Any], value: Any) -> None:
    own = schema_check(schema, "tool f")(value)
    assert (own is None) == jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"a": {"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}}}, {"a": "a" * 5000}),
        ({"patternProperties": {"^(([a-z])+.)+[A-Z]([a-z])+$": {}}}, {"a" * 5000: 1}),
        ({"patternProperties": {"^(([a-z])+.)+[A-Z]([a-z])+$": {}}, "additionalProperties": False},
         {"a" * 5000: 1}),
    ],
)  # fmt: skip
def test_a_pattern_without_an_end_is_an_error(
    schema: dict[str, Any], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_search, "SECONDS", 0.05)
    with pytest.raises(ConfigError, match=r"tool f: the pattern .* takes more than"):
        schema_check(schema, "tool f")(value)


def test_what_cannot_be_limited_is_refused() -> None:
    with pytest.raises(ConfigError, match="write additionalProperties instead"):
        schema_check({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "schema=")
    with pytest.raises(ConfigError, match="this is not a JSON schema"):
        schema_check({"pattern": "("}, "schema=")("text")
