"""Reads probe files (JSONL, JSON, CSV, TSV, Parquet) strictly: errors name line and column."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmdiff.data.files.formats import read_records
from pytest_llmdiff.data.files.records import (
    EXAMPLES,
    INFO,
    TRAINED,
    Kind,
    Record,
    check_known,
    file_error,
)
from pytest_llmdiff.data.files.strict_json import load_json
from pytest_llmdiff.data.messages import Message, parse_messages
from pytest_llmdiff.data.tools.calls import as_json, parse_calls
from pytest_llmdiff.data.tools.definitions import parse_tools
from pytest_llmdiff.errors import ProbeFileError

COLUMNS = (
    "prompt", "messages", "system", "reference", "id", "tags", "language", "cluster", "tools",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """One probe as written in its file; `line` is the record's number in JSON and Parquet."""

    line: int
    messages: tuple[Message, ...]
    system: str | None
    reference: str | None
    id: str | None
    tags: tuple[str, ...]
    language: str | None
    cluster: str | None
    tools: tuple[dict[str, Any], ...] = ()


def is_probe_file(path: Path) -> bool:
    """Whether a file has probes and cannot be training data.

    Decided without importing the readers of training data, which would slow down every start.
    """
    if not path.is_file() or path.name == INFO:
        return False
    folder = path.resolve().parent
    if (folder / INFO).is_file() or (folder.parent / INFO).is_file():
        return False
    try:
        return not TRAINED & set(next(read_records(path, EXAMPLES)).values)
    except ProbeFileError:
        return True  # the reader of probe files then says what is wrong


def read_probe_file(path: Path) -> list[ProbeRow]:
    """All probes of the file.

    Raises:
        ProbeFileError: at the first fault.
    """
    return list(probe_rows(path))


def probe_rows(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[ProbeRow]:
    """The probes of a file, one at a time; see `read_probe_file`. `columns` names the file's
    columns by those of a probe, where they have other names; no others are read then."""
    if columns is None:
        return rows_of(read_records(path, _PROBES))
    return rows_of(renamed(read_records(path, EXAMPLES), columns, place=f"{path}"))


def renamed(
    records: Iterable[Record], columns: Mapping[str, str], *, place: str
) -> Iterator[Record]:
    """Records with the columns of a probe, from those that `columns` names. A number becomes text.

    Raises:
        ProbeFileError: after the last record, where none had one of the columns.
    """
    seen: set[str] = set()
    for record in records:
        seen.update(record.values)
        values = {ours: record.values.get(theirs) for ours, theirs in columns.items()}
        numbers = (name for name, v in values.items() if isinstance(v, (int, float)))
        values |= {name: str(values[name]) for name in list(numbers)}
        yield replace(record, values=values)
    for theirs in columns.values():
        if theirs not in seen:
            raise file_error(
                f"{place}, column {reprlib.repr(theirs)}",
                f"there is no such column; expected one of {', '.join(map(str, sorted(seen)))}",
            )


def rows_of(records: Iterable[Record]) -> Iterator[ProbeRow]:
    """The probes of records; see `read_probe_file`."""
    place_of_id: dict[str, str] = {}
    for record in records:
        row = _parse_record(record)
        if row.id is not None:
            if row.id in place_of_id:
                raise record.error(
                    f"{reprlib.repr(row.id)} is already the id of {place_of_id[row.id]}; "
                    "expected ids that are unique in the file",
                    column="id",
                )
            place_of_id[row.id] = f"{record.unit} {record.number}"
        yield row


def _check_columns(place: str, names: Iterable[str]) -> None:
    check_known(place, names, COLUMNS)


_PROBES = Kind(
    noun="probe",
    example='{"prompt": "..."}',
    columns=f"columns among {', '.join(COLUMNS)}",
    check_columns=_check_columns,
)


def _open_cells(record: Record) -> None:
    """Parses tags and messages, which CSV and TSV can only have as text."""
    if isinstance(tags := record.values.get("tags"), str):
        record.values["tags"] = re.split("[;,]", tags)
    if isinstance(messages := record.values.get("messages"), str):
        record.values["messages"] = load_json(
            messages,
            place=f"{record.place}, column 'messages'",
            position=lambda error: f"character {error.pos + 1}",
            expected="a JSON list of messages",
        )


def _parse_record(record: Record) -> ProbeRow:
    if record.cells:
        _open_cells(record)
    messages = _parse_prompt(record)
    tools = _parse_tools(record)
    system = parse_text(record, "system")
    if system is not None and messages[0]["role"] == "system":
        raise record.error(
            "'messages' has a system message, too; expected only one of the two",
            column="system",
        )
    return ProbeRow(
        line=record.number,
        messages=messages,
        system=system,
        reference=_parse_reference(record),
        id=parse_id(record),
        tags=parse_tags(record),
        language=parse_text(record, "language"),
        cluster=parse_text(record, "cluster"),
        tools=tools,
    )


def _parse_tools(record: Record) -> tuple[dict[str, Any], ...]:
    try:
        return parse_tools(record.values.get("tools"))
    except ValueError as error:
        raise record.error(str(error), column="tools") from error


def _parse_reference(record: Record) -> str | None:
    """Text; beside tools also calls, as a JSON object or a list of them."""
    value = record.values.get("reference")
    if isinstance(value, (dict, list)) and record.values.get("tools") is not None:
        try:
            calls = parse_calls(value)
        except ValueError as error:
            raise record.error(str(error), column="reference") from error
        return json.dumps([as_json(call) for call in calls], ensure_ascii=False)
    return parse_text(record, "reference")


def _parse_prompt(record: Record) -> tuple[Message, ...]:
    given = [name for name in ("prompt", "messages") if record.values.get(name) is not None]
    if len(given) != 1:
        problem = "both 'prompt' and 'messages' are" if given else "no prompt is"
        raise record.error(
            f"{problem} given; expected exactly one of the columns 'prompt' and 'messages'"
        )
    (name,) = given
    value = record.values[name]
    if isinstance(value, str) != (name == "prompt"):
        expected = "a string" if name == "prompt" else "a list of messages"
        raise record.error(f"got {reprlib.repr(value)}; expected {expected}", column=name)
    try:
        return parse_messages(value)
    except ValueError as error:
        raise record.error(str(error), column=name) from error


def parse_text(record: Record, column: str) -> str | None:
    value = record.values.get(column)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise record.error(
            f"got {reprlib.repr(value)}; expected text, or nothing at all", column=column
        )
    return value


def parse_id(record: Record) -> str | None:
    value = record.values.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return parse_text(record, "id")


def parse_tags(record: Record) -> tuple[str, ...]:
    value = record.values.get("tags")
    if value is None:
        return ()
    tags: list[str] = []
    for tag in value if isinstance(value, list) else [value]:
        # A tag that contains a separator would become two tags if the file were saved as CSV.
        if not isinstance(tag, str) or not tag.strip() or ";" in tag or "," in tag:
            raise record.error(
                f"got the tag {reprlib.repr(tag)}; expected a tag or a list of tags, "
                "each a text without ';' and ','",
                column="tags",
            )
        tags.append(tag.strip())
    return tuple(tags)
