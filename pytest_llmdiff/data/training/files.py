"""Reads text and JSON that trainers write; errors say where a file is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.errors import ConfigError


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        refuse_device(file)
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}, line {line}: expected UTF-8 text ({error.reason}); is the file complete?"
        ) from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror})") from error


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; NaN and Infinity are allowed.

    Raises:
        ConfigError: it cannot be read, or contains something else.
    """
    return _object(file, 1, read_text(file))


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with one object per line, each with its line number.

    Raises:
        ConfigError: it cannot be read, or a line contains something else.
    """
    # Not splitlines(): it also splits at U+2028 and others, which trainers do not escape.
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if line.strip():
            yield number, _object(file, number, line)


def _object(file: Path, number: int, text: str) -> dict[str, Any]:
    try:
        found = bounded_json(text)
    except (ValueError, RecursionError) as error:
        line = number + getattr(error, "lineno", 1) - 1
        raise ConfigError(
            f"{file}, line {line}: damaged JSON ({getattr(error, 'msg', error)}); "
            "copy the file again from where the model was trained"
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file}, line {number}: expected a JSON object")
    return found
