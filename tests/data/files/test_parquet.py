"""A Parquet file that is far larger in memory than on disk is refused; all others are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from pytest_llmdiff.data.files.probe_files import read_probe_file
from tests.support.bounded import bounded


def repeated(value: Any, times: int) -> pa.Table:
    """One value in so many rows, which the file stores once."""
    indices = pa.array([0] * times, pa.int32())
    return pa.table({"prompt": pa.DictionaryArray.from_arrays(indices, pa.array([value]))})


def written(file: Path, table: pa.Table, times: int = 1) -> Path:
    with pyarrow.parquet.ParquetWriter(file, table.schema, compression="zstd") as out:
        for _ in range(times):
            out.write_table(table)
    return file


@pytest.mark.parametrize(
    ("table", "times"),
    [
        pytest.param(repeated("Hi", 1_000_000), 20, id="many rows"),
        pytest.param(repeated("x" * 1_000_000, 2000), 1, id="a long text in many rows"),
        pytest.param(repeated("x" * 30_000_000, 100), 1, id="a very long text in many rows"),
        pytest.param(
            pa.table({"messages": pa.array([[0] * 10_000_000], pa.list_(pa.int8()))}), 1,
            id="a long list",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(table: pa.Table, times: int, tmp_path: Path) -> None:
    file = written(tmp_path / "a.parquet", table, times)
    assert file.stat().st_size < 1_000_000
    printed = bounded(
        "import sys\nfrom pathlib import Path\n"
        "from pytest_llmdiff.data.files.formats import read_records\n"
        "from pytest_llmdiff.data.files.records import Kind\n"
        "from pytest_llmdiff.errors import ProbeFileError\n"
        "kind = Kind(noun='', example='', columns='', check_columns=lambda *_: None)\n"
        "try:\n    for _ in read_records(Path(sys.argv[1]), kind): pass\n"
        "except ProbeFileError as error:\n    print(error)\n",
        file,
        memory=4 << 30,  # pyarrow's allocator reserves some 2 GB that it does not use
    )
    assert "in memory; at most 536,870,912 are read" in printed


def test_rows_are_numbered_through_all_batches(tmp_path: Path) -> None:
    prompts = [f"Question {n}?" for n in range(150)]
    file = written(tmp_path / "a.parquet", pa.table({"prompt": prompts}), 2)
    rows = read_probe_file(file)
    assert [row.messages[0]["content"] for row in rows] == prompts * 2
    assert [row.line for row in rows] == list(range(1, 301))
