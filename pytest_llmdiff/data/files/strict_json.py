"""JSON that names the place of every fault, and refuses what `json` lets pass."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from typing import Any

from pytest_llmdiff.data.files.records import file_error

# Beyond some 300 digits, an int is no float; converting digits takes time with their square.
LONGEST_NUMBER = 100


def load_json(
    text: str,
    *,
    place: str,
    position: Callable[[json.JSONDecodeError], str],
    expected: str,
) -> object:
    """The value of a JSON text.

    Raises:
        ProbeFileError: it is malformed; `place` and `position` say where, `expected` what to write.
    """
    try:
        value = _loads(text)
        # JSON can spell half a surrogate pair, which no tokenizer and no report can encode.
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise file_error(
            f"{place}, {position(error)}", f"broken JSON ({error.msg}); expected {expected}"
        ) from error
    except UnicodeEncodeError as error:
        raise file_error(
            place, "a \\u escape is half a surrogate pair; expected whole characters"
        ) from error
    except RecursionError as error:
        raise file_error(place, f"the JSON is nested too deeply; expected {expected}") from error
    except ValueError as error:
        raise file_error(place, f"{error}; expected {expected}") from error
    return value


def bounded_json(text: str) -> Any:
    """The value of a JSON text as `json.loads` reads it.

    Raises:
        ValueError: it is malformed, is nested too deeply, or has an endless number.
    """
    try:
        return _decoded(text, _BOUNDED)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def _loads(text: str) -> object:
    return _decoded(text, _STRICT)


def _decoded(text: str, decoder: json.JSONDecoder) -> Any:
    # Only `json.loads` names a byte-order mark in its error.
    return json.loads(text) if text.startswith("\ufeff") else decoder.decode(text)


def _int(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(digits)} digits; at most {LONGEST_NUMBER} are read")
    return int(digits)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Raises ValueError for a repeated key, of which `json` silently keeps the last."""
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {reprlib.repr(key)} is given twice in one object")
        values[key] = value
    return values


# Made once: `json.loads` makes a new decoder for every call with a hook.
_STRICT = json.JSONDecoder(object_pairs_hook=unique_keys, parse_int=_int)
_BOUNDED = json.JSONDecoder(parse_int=_int)
