"""Read probe files (JSONL, JSON, CSV, TSV, Parquet), strictly: every fault has its place."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import MissingPackageError, ProbeFileError
from pytest_llmdiff.formats.messages import Message, parse_messages

COLUMNS = ("prompt", "messages", "system", "reference", "id", "tags", "language", "cluster")


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


@dataclass(frozen=True, kw_only=True)
class _Record:
    """Named values that no one has checked yet."""

    path: Path
    unit: str  # "line" or "record"
    number: int
    values: dict[str, object]

    def error(self, problem: str, *, column: str | None = None) -> ProbeFileError:
        place = f"{self.path}, {self.unit} {self.number}"
        return _error(place if column is None else f"{place}, column {column!r}", problem)


def read_probe_file(path: Path) -> list[ProbeRow]:
    """Read all probes of the file, or raise `ProbeFileError` at its first fault."""
    try:
        if path.is_dir():
            raise _error(f"{path}", f"this is a directory; expected a file {_suffixes()}")
        if not path.exists():
            raise _error(f"{path}", f"no such file; expected a file {_suffixes()}")
        read_records = _READERS.get(path.suffix.lower())
        if read_records is None:
            raise _error(
                f"{path}", f"the file name ends in {path.suffix!r}; expected {_suffixes()}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise _error(
            f"{path}", f"cannot be read ({error.strerror}); expected a readable file"
        ) from error
    if not data:
        raise _error(f"{path}", "the file is empty; expected at least one probe")

    rows: list[ProbeRow] = []
    place_of_id: dict[str, str] = {}
    for record in read_records(path, data):
        row = _parse_record(record)
        if row.id is not None:
            if row.id in place_of_id:
                raise record.error(
                    f"{reprlib.repr(row.id)} is already the id of {place_of_id[row.id]}; "
                    "expected ids that are unique in the file",
                    column="id",
                )
            place_of_id[row.id] = f"{record.unit} {record.number}"
        rows.append(row)
    if not rows:
        raise _error(f"{path}", "the file holds no probes; expected at least one")
    return rows


def _error(place: str, problem: str) -> ProbeFileError:
    return ProbeFileError(f"{place}: {problem}")


def _suffixes() -> str:
    return f"with one of the endings {', '.join(_READERS)}"


# Formats: from bytes to records


def _read_jsonl(path: Path, data: bytes) -> Iterator[_Record]:
    # Not splitlines(): it also splits at U+2028 and others that JSON allows inside a string.
    for number, line in enumerate(_decode(path, data).split("\n"), 1):
        if not line.strip(" \t\r"):
            continue
        place = f"{path}, line {number}"
        value = _load_json(
            line,
            place=place,
            position=lambda error: f"column {error.colno}",
            expected="one JSON object per line",
        )
        yield _Record(path=path, unit="line", number=number, values=_object(place, value))


def _read_json(path: Path, data: bytes) -> Iterator[_Record]:
    value = _load_json(
        _decode(path, data),
        place=f"{path}",
        position=lambda error: f"line {error.lineno}, column {error.colno}",
        expected="a JSON list of objects",
    )
    if not isinstance(value, list):
        raise _error(f"{path}", f"got {reprlib.repr(value)}; expected a JSON list of objects")
    for number, item in enumerate(value, 1):
        values = _object(f"{path}, record {number}", item)
        yield _Record(path=path, unit="record", number=number, values=values)


def _read_csv(path: Path, data: bytes) -> Iterator[_Record]:
    return _read_cells(path, data, delimiter=",")


def _read_tsv(path: Path, data: bytes) -> Iterator[_Record]:
    return _read_cells(path, data, delimiter="\t")


def _read_cells(path: Path, data: bytes, *, delimiter: str) -> Iterator[_Record]:
    lines = _split_csv(path, _decode(path, data), delimiter)
    header = lines[0][1] if lines else []
    header_place = f"{path}, line 1"
    if not header:
        raise _error(
            header_place,
            f"the line is blank; expected a header line with columns among {', '.join(COLUMNS)}",
        )
    _check_columns(header_place, header)
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise _error(
                f"{path}, line {number}",
                f"the number of cells is {len(cells)}; expected {len(header)} as in the header "
                f"line ({', '.join(header)})",
            )
        values: dict[str, object] = {
            name: cell or None for name, cell in zip(header, cells, strict=True)
        }
        if isinstance(tags := values.get("tags"), str):
            values["tags"] = re.split("[;,]", tags)
        if isinstance(messages := values.get("messages"), str):
            place = f"{path}, line {number}, column 'messages'"
            values["messages"] = _load_json(
                messages,
                place=place,
                position=lambda error: f"character {error.pos + 1}",
                expected="a JSON list of messages",
            )
        yield _Record(path=path, unit="line", number=number, values=values)


def _split_csv(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return each row with the physical line it starts on: a quoted cell may span lines."""
    rows: list[tuple[int, list[str]]] = []
    start = 1
    # The limit of 131072 characters is shorter than a long-context prompt. It belongs to the
    # whole process, so it is put back.
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for cells in reader:
            rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise _error(
            f"{path}, line {start}",
            f"the row that starts here is broken ({error}); expected cells that hold a quote, "
            'a delimiter or a line break to be quoted, with each inner quote doubled ("")',
        ) from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _read_parquet(path: Path, data: bytes) -> Iterator[_Record]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            "pyarrow", f"reading {path.name}", "'pytest-llmdiff[parquet]'"
        ) from error
    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise _error(
            f"{path}", f"this is not readable as Parquet ({error}); expected a Parquet file"
        ) from error
    _check_columns(f"{path}", table.column_names)
    for index in range(table.num_rows):
        record = _Record(path=path, unit="record", number=index + 1, values={})
        for name in table.column_names:
            try:
                record.values[name] = table[name][index].as_py()
            except (ValueError, OverflowError) as error:
                raise record.error(
                    f"the value cannot be read ({error}); expected valid UTF-8 text",
                    column=name,
                ) from error
        yield record


_READERS: dict[str, Callable[[Path, bytes], Iterator[_Record]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, not data: the codec counts from behind the BOM.
        number = error.object.count(b"\n", 0, error.start) + 1
        raise _error(
            f"{path}, line {number}",
            f"the byte 0x{error.object[error.start]:02x} is not UTF-8; expected UTF-8 text",
        ) from error


def _load_json(
    text: str,
    *,
    place: str,
    position: Callable[[json.JSONDecodeError], str],
    expected: str,
) -> object:
    try:
        value: object = json.loads(text, object_pairs_hook=_unique_keys)
        # JSON can spell half of a surrogate pair, which no tokenizer and no report can encode.
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _error(
            f"{place}, {position(error)}", f"broken JSON ({error.msg}); expected {expected}"
        ) from error
    except UnicodeEncodeError as error:
        raise _error(
            place, "a \\u escape is half of a surrogate pair; expected whole characters"
        ) from error
    except RecursionError as error:
        raise _error(place, f"the JSON is nested too deeply; expected {expected}") from error
    except ValueError as error:
        raise _error(place, f"{error}; expected {expected}") from error
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # json keeps the last of two equal keys and says nothing.
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {reprlib.repr(key)} is given twice in one object")
        values[key] = value
    return values


def _object(place: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _error(
            place, f'got {reprlib.repr(value)}; expected an object such as {{"prompt": "..."}}'
        )
    _check_columns(place, value)
    return value


def _check_columns(place: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name.lower(), COLUMNS, n=1)
            suggestion = f" (did you mean {close[0]!r}?)" if close else ""
            raise _error(
                f"{place}, column {reprlib.repr(name)}",
                f"unknown column{suggestion}; expected columns among {', '.join(COLUMNS)}",
            )
        if name in seen:
            raise _error(f"{place}, column {name!r}", "the column is given twice; expected it once")
        seen.add(name)


# Values: from records to rows


def _parse_record(record: _Record) -> ProbeRow:
    messages = _parse_prompt(record)
    system = _parse_text(record, "system")
    if system is not None and messages[0]["role"] == "system":
        raise record.error(
            "'messages' holds a system message too; expected only one of the two",
            column="system",
        )
    return ProbeRow(
        line=record.number,
        messages=messages,
        system=system,
        reference=_parse_text(record, "reference"),
        id=_parse_id(record),
        tags=_parse_tags(record),
        language=_parse_text(record, "language"),
        cluster=_parse_text(record, "cluster"),
    )


def _parse_prompt(record: _Record) -> tuple[Message, ...]:
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


def _parse_text(record: _Record, column: str) -> str | None:
    value = record.values.get(column)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise record.error(
            f"got {reprlib.repr(value)}; expected text, or nothing at all", column=column
        )
    return value


def _parse_id(record: _Record) -> str | None:
    value = record.values.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _parse_text(record, "id")


def _parse_tags(record: _Record) -> tuple[str, ...]:
    value = record.values.get("tags")
    if value is None:
        return ()
    tags: list[str] = []
    for tag in value if isinstance(value, list) else [value]:
        # A tag with a separator in it would be two tags once the file is saved as CSV.
        if not isinstance(tag, str) or not tag.strip() or ";" in tag or "," in tag:
            raise record.error(
                f"got the tag {reprlib.repr(tag)}; expected a tag or a list of tags, "
                "each a text without ';' and ','",
                column="tags",
            )
        tags.append(tag.strip())
    return tuple(tags)
