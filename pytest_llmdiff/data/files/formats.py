"""Reads records from JSONL, JSON, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import reprlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_llmdiff.config.packages import require_packages
from pytest_llmdiff.data.files.devices import refuse_device
from pytest_llmdiff.data.files.records import Kind, Record, file_error
from pytest_llmdiff.data.files.strict_json import load_json


def read_records(path: Path, kind: Kind) -> Iterator[Record]:
    """The records of a file, one at a time.

    Raises:
        ProbeFileError: there is no such file, or the next record is malformed.
        MissingPackageError: the file is Parquet, and pyarrow is missing.
    """
    try:
        if path.is_dir():
            raise file_error(f"{path}", f"this is a directory; expected a file {_suffixes()}")
        if not path.exists():
            raise file_error(f"{path}", f"no such file; expected a file {_suffixes()}")
        read = _READERS.get(path.suffix.lower())
        if read is None:
            raise file_error(
                f"{path}", f"the file name ends in {path.suffix!r}; expected {_suffixes()}"
            )
        refuse_device(path)
        data = path.read_bytes()
    except OSError as error:
        raise file_error(
            f"{path}", f"cannot be read ({error.strerror}); expected a readable file"
        ) from error
    if not data:
        raise file_error(f"{path}", f"the file is empty; expected at least one {kind.noun}")
    empty = True
    for record in read(path, data, kind):
        empty = False
        yield record
    if empty:
        raise file_error(f"{path}", f"the file contains no {kind.noun}s; expected at least one")


def _suffixes() -> str:
    return f"with one of the endings {', '.join(_READERS)}"


def _read_jsonl(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    def position(error: json.JSONDecodeError) -> str:
        return f"column {error.colno}"

    beginning, expected = f"{path}, line ", "one JSON object per line"
    # Not splitlines(): it also splits at U+2028 and others, which JSON allows inside a string.
    for number, line in enumerate(_decode(path, data).split("\n"), 1):
        if not line.strip(" \t\r"):
            continue
        place = f"{beginning}{number}"
        value = load_json(line, place=place, position=position, expected=expected)
        yield Record(path=path, unit="line", number=number, values=_object(place, value, kind))


def _read_json(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    if kind.lines_in_json and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        yield from _read_jsonl(path, data, kind)
        return
    value = load_json(
        _decode(path, data),
        place=f"{path}",
        position=lambda error: f"line {error.lineno}, column {error.colno}",
        expected="a JSON list of objects",
    )
    if not isinstance(value, list):
        raise file_error(f"{path}", f"got {reprlib.repr(value)}; expected a JSON list of objects")
    for number, item in enumerate(value, 1):
        values = _object(f"{path}, record {number}", item, kind)
        yield Record(path=path, unit="record", number=number, values=values)


def _read_csv(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    return _read_cells(path, data, kind, delimiter=",")


def _read_tsv(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    return _read_cells(path, data, kind, delimiter="\t")


def _read_cells(path: Path, data: bytes, kind: Kind, *, delimiter: str) -> Iterator[Record]:
    lines = _split_csv(path, _decode(path, data), delimiter)
    header = lines[0][1] if lines else []
    header_place = f"{path}, line 1"
    if not header:
        raise file_error(
            header_place,
            f"the line is blank; expected a header line with {kind.columns}",
        )
    kind.check_columns(header_place, header)
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise file_error(
                f"{path}, line {number}",
                f"the number of cells is {len(cells)}; expected {len(header)} as in the header "
                f"line ({', '.join(header)})",
            )
        values: dict[str, object] = {
            name: cell or None for name, cell in zip(header, cells, strict=True)
        }
        yield Record(path=path, unit="line", number=number, values=values, cells=True)


def _split_csv(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Each row with the line that it starts on: a quoted cell may span lines."""
    rows: list[tuple[int, list[str]]] = []
    start = 1
    # The default limit of 131072 characters is shorter than a long-context prompt. It is global,
    # so it is restored.
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for cells in reader:
            rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise file_error(
            f"{path}, line {start}",
            f"the row that starts here is broken ({error}); expected cells that hold a quote, "
            'a delimiter or a line break to be quoted, with each inner quote doubled ("")',
        ) from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _read_parquet(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    require_packages("parquet", f"reading {path.name}")
    from pytest_llmdiff.data.files.parquet import parquet_records

    yield from parquet_records(path, data, kind)


_READERS: dict[str, Callable[[Path, bytes, Kind], Iterator[Record]]] = {
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
        # error.object, not data: the codec counts from after the byte-order mark.
        number = error.object.count(b"\n", 0, error.start) + 1
        raise file_error(
            f"{path}, line {number}",
            f"the byte 0x{error.object[error.start]:02x} is not UTF-8; expected UTF-8 text",
        ) from error


def _object(place: str, value: object, kind: Kind) -> dict[str, object]:
    if not isinstance(value, dict):
        raise file_error(
            place, f"got {reprlib.repr(value)}; expected an object such as {kind.example}"
        )
    kind.check_columns(place, value)
    return value
