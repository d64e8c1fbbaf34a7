"""Records of a Parquet file, which a few bytes may repeat millions of times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
from pyarrow.parquet import FileMetaData, ParquetFile

from pytest_llmdiff.data.files.records import Kind, Record, file_error

# Texts are some 3 to 10 times as large as they are compressed. What is smaller than the first
# number may repeat itself as often as it likes.
MOST_BYTES = 512 << 20
MOST_TIMES = 50
# A Python object of a short text, with its place in a record.
BYTES_OF_A_VALUE = 100
MOST_ROWS_AT_ONCE = 64


def parquet_records(path: Path, data: bytes, kind: Kind) -> Iterator[Record]:
    """The records, read a few at a time.

    Raises:
        ProbeFileError: it is not Parquet, or is far larger in memory than on disk.
    """
    limit = max(MOST_BYTES, MOST_TIMES * len(data))
    with _readable(path):
        file = ParquetFile(pyarrow.BufferReader(data))
        names: list[str] = file.schema_arrow.names
    kind.check_columns(f"{path}", names)
    size, largest = _sizes(file.metadata)
    _check(path, size, limit, len(data))
    # A text that is stored once may stand in every row.
    rows = max(1, min(MOST_ROWS_AT_ONCE, limit // max(1, largest)))
    batches = file.iter_batches(batch_size=rows)
    number = size = 0
    while batch := _next(path, batches):
        for index in range(batch.num_rows):
            number += 1
            record = Record(path=path, unit="record", number=number, values={})
            for name, column in zip(names, batch.columns, strict=True):
                try:
                    record.values[name] = column[index].as_py()
                except (ValueError, OverflowError) as error:
                    raise record.error(
                        f"the value cannot be read ({error}); expected valid UTF-8 text",
                        column=name,
                    ) from error
            size += _characters(record.values)
            _check(path, size, limit, len(data))
            yield record


def _sizes(metadata: FileMetaData) -> tuple[int, int]:
    """Bytes in memory of all values as the file states them, and of its largest column chunk."""
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    stated = [chunk.total_uncompressed_size for chunk in chunks]
    values = sum(chunk.num_values for chunk in chunks)
    return values * BYTES_OF_A_VALUE + sum(stated), max(stated, default=0)


def _characters(value: object) -> int:
    """Of all texts in a value."""
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, (str, bytes)) else 0


def _check(path: Path, size: int, limit: int, stored: int) -> None:
    if size > limit:
        raise file_error(
            f"{path}",
            f"its {stored:,} bytes are more than {size:,} in memory; at most {limit:,} are read: "
            "expected a file of texts that do not repeat so often",
        )


def _next(path: Path, batches: Iterator[pyarrow.RecordBatch]) -> pyarrow.RecordBatch | None:
    with _readable(path):
        return next(batches, None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise file_error(
            f"{path}", f"this is not readable as Parquet ({error}); expected a Parquet file"
        ) from error
