"""Regular expressions of a JSON schema, searched within a time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_llmdiff.data.text import bounded_search
from pytest_llmdiff.errors import ConfigError

LEAST = 1e-3


class Patterns:
    """The searches of a schema, which errors call `given`; `start` is called before each value."""

    def __init__(self, given: str) -> None:
        self._given = given
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + bounded_search.SECONDS

    def found(self, pattern: str, text: str) -> bool:
        """Whether the pattern matches anywhere in the text.

        Raises:
            ConfigError: it is no regular expression, or takes too long.
        """
        left = max(LEAST, self._end - time.monotonic())
        what = f"{self._given}: the pattern {pattern!r}"
        return bounded_search.search(pattern, text, what=what, seconds=left)

    def extend(self, kind: Any) -> Any:
        """jsonschema's validator class with these searches.

        Its keyword unevaluatedProperties searches by itself, see `refuse`.
        """
        from jsonschema import ValidationError, validators

        usual = kind.VALIDATORS.get("additionalProperties")

        def pattern(validator: Any, wanted: str, value: Any, _: Any) -> Iterator[Any]:
            if validator.is_type(value, "string") and not self.found(wanted, value):
                yield ValidationError(f"{value!r} does not match {wanted!r}")

        def by_pattern(validator: Any, wanted: Any, value: Any, _: Any) -> Iterator[Any]:
            for name, schema in wanted.items() if validator.is_type(value, "object") else ():
                for key, each in value.items():
                    if self.found(name, key):
                        yield from validator.descend(each, schema, path=key, schema_path=name)

        def additional(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
            patterns = schema.get("patternProperties")
            if not patterns or not validator.is_type(value, "object"):
                yield from usual(validator, wanted, value, schema)
                return
            for key in value.keys() - schema.get("properties", {}).keys():
                if any(self.found(name, key) for name in patterns):
                    continue
                if wanted is False:
                    yield ValidationError(f"{key!r} is not allowed, and matches no pattern")
                else:
                    yield from validator.descend(value[key], wanted, path=key)

        own = {"pattern": pattern, "patternProperties": by_pattern}
        return validators.extend(kind, own if usual is None else own | {
            "additionalProperties": additional
        })  # fmt: skip

    def refuse(self, schema: object) -> None:
        """Raises ConfigError where a schema has patterns that cannot be limited."""
        keys = set(_keys(schema))
        if {"unevaluatedProperties", "patternProperties"} <= keys:
            raise ConfigError(
                f"{self._given}: unevaluatedProperties together with patternProperties cannot be "
                "checked in bounded time: write additionalProperties instead"
            )


def has_patterns(schema: object) -> bool:
    return not {"pattern", "patternProperties"}.isdisjoint(_keys(schema))


def _keys(value: object) -> Iterator[str]:
    """The keys of all objects in a JSON value."""
    if isinstance(value, Mapping):
        yield from map(str, value)
    if isinstance(value, (Mapping, list, tuple)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _keys(each)
