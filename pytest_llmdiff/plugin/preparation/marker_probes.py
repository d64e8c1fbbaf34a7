"""From one `@pytest.mark.llmdiff` to its probes: check its arguments, read its file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdiff.config.options import GENERATION_PARSERS
from pytest_llmdiff.config.packages import given_path
from pytest_llmdiff.data.files.probe_files import COLUMNS, is_probe_file, probe_rows
from pytest_llmdiff.data.messages import is_whole
from pytest_llmdiff.data.probes import Probe, make_probe, probe_of_row
from pytest_llmdiff.data.published.sources import columns_of, is_published, published_rows
from pytest_llmdiff.data.tools.definitions import parse_tools
from pytest_llmdiff.errors import ConfigError, ProbeFileError, did_you_mean

if TYPE_CHECKING:
    from pytest_llmdiff.data.llamafactory.datasets import Dataset, Example

MARKER_KEYWORDS = (
    "file", "columns", "system", "reference", "tags", "tools", *GENERATION_PARSERS
)  # fmt: skip


def probes_of_marker(
    args: Sequence[object], kwargs: Mapping[str, Any], *, folder: Path, any_script: bool = False
) -> list[Probe]:
    """The probes of one `@pytest.mark.llmdiff`; its `file` is relative to the test's `folder`. Ids
    have letters of `any_script`, or of ASCII alone.

    Raises:
        ConfigError: an unknown or unusable argument; the message lists what is allowed.
        ProbeFileError: the file is malformed.
    """
    unknown = sorted(set(kwargs) - set(MARKER_KEYWORDS))
    if unknown:
        shown = (f"{name}{did_you_mean(name, MARKER_KEYWORDS)}" for name in unknown)
        raise ConfigError(
            f"@pytest.mark.llmdiff: unknown keyword {', '.join(shown)}; "
            f"allowed are {', '.join(MARKER_KEYWORDS)}"
        )
    file, system, reference = (kwargs.get(name) for name in ("file", "system", "reference"))
    for name in ("system", "reference"):
        value = kwargs.get(name)
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"@pytest.mark.llmdiff: {name} is blank ({value!r}): leave it out")
        if value is not None and not is_whole(value):
            raise ConfigError(f"@pytest.mark.llmdiff: {name} must be a string, not {value!r}")
    if file is not None and not isinstance(file, (str, Path)):
        raise ConfigError(f"@pytest.mark.llmdiff: file must be a path, not {file!r}")
    if reference is not None and (len(args) != 1 or file is not None):
        raise ConfigError(
            "@pytest.mark.llmdiff: reference needs exactly one prompt; for several, use a probe "
            "file with a reference column"
        )
    if not args and file is None:
        raise ConfigError("@pytest.mark.llmdiff: give prompts, file=..., or both")
    shared: dict[str, Any] = {
        "system": system,
        "tags": _tags(kwargs.get("tags")),
        "generation": _generation(kwargs),
        "tools": _tools(kwargs.get("tools")),
        "any_script": any_script,
    }
    probes = []
    for prompt in args:
        try:
            probe = make_probe(prompt, reference=reference, **shared)
        except ValueError as error:
            raise ConfigError(f"@pytest.mark.llmdiff: {error}") from error
        probes.append(probe)
    if file is not None:
        columns = _columns(kwargs.get("columns"))
        probes += _probes_of_file(str(file), folder, columns, shared)
    elif "columns" in kwargs:
        raise ConfigError("@pytest.mark.llmdiff: columns is for the columns of a file=...")
    return probes


def _probes_of_file(
    file: str, folder: Path, columns: Mapping[str, str] | None, common: Mapping[str, Any]
) -> list[Probe]:
    if is_published(file):
        rows = published_rows(file, folder, columns)
        return [probe_of_row(row, **common) for row in rows]
    path = given_path(file, folder, what="@pytest.mark.llmdiff: file")
    if columns is None and (datasets := _training_data(path)) is not None:
        return [
            make_probe(example.messages, reference=example.answer or None, **common)
            for dataset in datasets
            for example in _examples_of(dataset)
        ]
    named = columns_of(path) if columns is None else columns
    return [probe_of_row(row, **common) for row in probe_rows(path, named)]


def _columns(value: object) -> Mapping[str, str] | None:
    """The columns of a file by those of a probe."""
    if value is None:
        return None
    named = isinstance(value, Mapping) and all(
        name in COLUMNS and is_whole(column) for name, column in value.items()
    )
    if not named or not {"prompt", "messages"} & set(value):  # type: ignore[call-overload]
        raise ConfigError(
            f"@pytest.mark.llmdiff: columns is {value!r}; expected the file's column for 'prompt' "
            f"or 'messages', and for others of {', '.join(COLUMNS)}, such as "
            "{'prompt': 'question', 'reference': 'answer'}"
        )
    return dict(value)  # type: ignore[call-overload, no-any-return]


def _training_data(path: Path) -> tuple[Dataset, ...] | None:
    if is_probe_file(path):
        return None
    from pytest_llmdiff.data.llamafactory.datasets import training_data_of

    return training_data_of(path)


def _examples_of(dataset: Dataset) -> tuple[Example, ...]:
    if count := len(dataset.skipped):
        text = (
            f"{dataset.path}: {count} of {count + len(dataset.examples)} records were skipped: "
            "they are no training examples in text, or have no prompt; the first is "
            f"{dataset.skipped[0]}"
        )
        try:
            warnings.warn(text, pytest.PytestWarning, stacklevel=1)
        except pytest.PytestWarning as error:  # warnings are errors in this run
            raise ProbeFileError(text) from error
    return dataset.examples


def _tags(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    tags = (value,) if isinstance(value, str) else value
    if not isinstance(tags, (list, tuple)) or not all(map(is_whole, tags)):
        raise ConfigError(f"@pytest.mark.llmdiff: tags must be a list of strings, not {value!r}")
    return tuple(tags)


def _tools(value: object) -> tuple[dict[str, Any], ...]:
    try:
        return parse_tools(value)
    except ValueError as error:
        raise ConfigError(f"@pytest.mark.llmdiff: tools: {error}") from error


def _generation(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    values = {}
    for name, parse in GENERATION_PARSERS.items():
        if name not in kwargs:
            continue
        try:
            values[name] = parse(kwargs[name])
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"@pytest.mark.llmdiff: {name}={kwargs[name]!r} is not allowed; "
                f"see --llmdiff-{name.replace('_', '-')} in `pytest --help`"
            ) from error
    return values
