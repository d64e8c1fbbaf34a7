"""JSON of a stranger: what no number type holds and no stack reads is refused in words."""

from __future__ import annotations

import json

import pytest

from pytest_llmdiff.data.files.strict_json import bounded_json, load_json
from pytest_llmdiff.errors import ProbeFileError

REFUSED = [
    ("9" * 400, "a number has 400 digits"),
    ('{"a": -' + "9" * 400 + "}", "a number has 401 digits"),
    ("[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        bounded_json(text)
    with pytest.raises(ProbeFileError, match=f"x: .*{told}"):
        load_json(text, place="x", position=str, expected="a list")


def test_all_else_is_read_as_by_json() -> None:
    for text in ("[1, -2, 1e3, NaN, null]", '{"a": 18446744073709551616}', '"x"'):
        assert json.dumps(bounded_json(text)) == json.dumps(json.loads(text))
    with pytest.raises(json.JSONDecodeError, match="BOM"):
        bounded_json("\ufeff{}")
