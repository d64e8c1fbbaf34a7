"""Tests of promptfoo, from `promptfooconfig.yaml`: read, never run.

Each prompt is filled with the variables of each test; a list of values makes one probe of each, as
promptfoo has it. The value of the first `equals`, `contains` or `icontains` is the reference. Other
assertions are no part of a probe.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.probe_files import ProbeRow, rows_of
from pytest_llmdiff.data.files.records import Record, file_error
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.data.published.templates import FileTemplates
from pytest_llmdiff.data.published.yaml_files import refuse_code
from pytest_llmdiff.errors import ProbeError

MATCHES = ("equals", "contains", "icontains")
FILE = "file://"
TEXTS = (".txt", ".json", ".md", ".j2")
MOST = 100_000  # probes of a file


def is_config(config: Mapping[str, Any]) -> bool:
    return "prompts" in config and "tests" in config


def config_rows(path: Path, config: Mapping[str, Any]) -> Iterator[ProbeRow]:
    """The probes of a config.

    Raises:
        ProbeFileError: a prompt or a test is not a text or a list of values, but code, say.
    """
    templates = FileTemplates()
    try:
        yield from rows_of(_records(path, config, templates))
    finally:
        templates.close()


def _records(path: Path, config: Mapping[str, Any], templates: FileTemplates) -> Iterator[Record]:
    prompts = [_prompt(path, each) for each in _list(path, config, "prompts")]
    default = config.get("defaultTest") or {}
    number = 0
    for at, test in enumerate(_list(path, config, "tests"), 1):
        place = f"{path}, test {at}"
        if not isinstance(test, Mapping) or not isinstance(default, Mapping):
            raise file_error(place, f"got {reprlib.repr(test)}; expected vars and assert")
        shared, own = default.get("vars") or {}, test.get("vars") or {}
        if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
            raise file_error(place, f"vars is {reprlib.repr(own)}; expected names with values")
        checks = [*_checks(place, test), *_checks(place, default)]
        held = {**shared, **own}
        many = math.prod(len(each) for each in held.values() if isinstance(each, list))
        if number + many * len(prompts) > MOST:
            raise file_error(place, f"there are more than {MOST:,} probes")
        for prompt, values in product(prompts, _combined(held)):
            number += 1
            for name, value in values.items():
                refuse_code(path, f"test {at}, {name}", value)
                _refuse_file(place, name, value)
            try:
                text = templates.render(prompt, values)
                reference = next((templates.render(check, values) for check in checks), None)
            except ProbeError as error:
                raise file_error(place, f"{error}") from error
            asked = _messages(text)
            yield Record(
                path=path,
                unit="probe",
                number=number,
                values={
                    "prompt" if asked is text else "messages": asked,
                    "reference": reference,
                },
            )

    if not number:
        raise file_error(f"{path}", "no test has values for its variables; expected some")


def _list(path: Path, config: Mapping[str, Any], key: str) -> list[Any]:
    found = config.get(key)
    found = [found] if isinstance(found, str) and key == "prompts" else found
    if not isinstance(found, list) or not found:
        raise file_error(
            f"{path}, {key}", f"got {reprlib.repr(found)}; expected a list in this file"
        )
    return found


def _prompt(path: Path, given: object) -> str:
    """The template of a prompt: a text, one with an id or a label, or that of a file."""
    if isinstance(given, Mapping):
        given = given.get("raw") or given.get("id")
    refuse_code(path, "prompts", given)
    if not isinstance(given, str) or not given.strip():
        raise file_error(f"{path}, prompts", f"got {reprlib.repr(given)}; expected a text")
    if not given.startswith(FILE):
        return given
    file = path.parent / given.removeprefix(FILE)
    if file.suffix.lower() not in TEXTS:
        raise file_error(
            f"{path}, prompts",
            f"{given} is not read, and not run; expected a file {', '.join(TEXTS)}",
        )
    try:
        refuse_device(file)
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise file_error(f"{file}", f"cannot be read ({error}); expected a text file") from error


def _combined(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of each probe: one of each list."""
    lists = [each if isinstance(each, list) else [each] for each in values.values()]
    return (dict(zip(values, chosen, strict=True)) for chosen in product(*lists))


def _refuse_file(place: str, name: str, value: object) -> None:
    if isinstance(value, str) and value.startswith(FILE):
        raise file_error(place, f"{name} is {value!r}; expected the value itself")


def _checks(place: str, test: Mapping[str, Any]) -> Iterator[str]:
    """What a reply must be, or contain."""
    checks = test.get("assert") or []
    if not isinstance(checks, list):
        raise file_error(place, f"assert is {reprlib.repr(checks)}; expected a list")
    for check in checks:
        if isinstance(check, Mapping) and check.get("type") in MATCHES:
            value = check.get("value")
            if isinstance(value, (str, int, float)):
                _refuse_file(place, "assert", value)
                yield str(value)


def _messages(text: str) -> object:
    """The messages of a prompt in JSON; any other text is itself."""
    if not text.lstrip().startswith("["):
        return text
    try:
        found = bounded_json(text)
    except ValueError:
        return text
    return found if isinstance(found, list) else text
