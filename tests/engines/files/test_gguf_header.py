"""A GGUF file whose header cannot be true is refused before a library believes its counts."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pytest_llmdiff.engines.files.gguf_header import MOST_ELEMENTS, check_gguf
from pytest_llmdiff.errors import ModelError
from tests.support.bounded import bounded


def text(value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "Q", len(value)) + value


def head(tensors: int, keys: int, order: str = "<") -> bytes:
    return b"GGUF" + struct.pack(order + "IQQ", 3, tensors, keys)


ENDLESS = [
    pytest.param(
        head(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 8, 1 << 32) + bytes(8_000_000),
        "its arrays have 4,294,967,296 elements",
        id="an array of 2^32 texts",
    ),
    pytest.param(
        head(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 0, 8_000_000) + bytes(8_000_000),
        "its arrays have 8,000,000 elements",
        id="a true array of too many bytes",
    ),
    pytest.param(
        head(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 8, MOST_ELEMENTS) + bytes(800),
        "longer than the file",
        id="more texts than the file holds",
    ),
    pytest.param(
        head(0, 1) + text(b"a") + struct.pack("<IIQ", 9, 10, 1000) + bytes(800),
        "longer than the file",
        id="more numbers than the file holds",
    ),
    pytest.param(
        head(0, 1) + text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000,
        "an array of arrays",
        id="5,000 arrays in each other",
    ),
    pytest.param(head(0, 1 << 40), "1,099,511,627,776 entries", id="2^40 keys"),
    pytest.param(head(1 << 40, 0), "1,099,511,627,776 entries", id="2^40 tensors"),
    pytest.param(
        head(1, 0) + text(b"a") + struct.pack("<I", 1 << 31), "2,147,483,648 dimensions",
        id="2^31 dimensions",
    ),
    pytest.param(
        head(0, 1) + struct.pack("<Q", 1 << 60), "longer than the file", id="a long name"
    ),
    pytest.param(head(0, 1) + text(b"a") + struct.pack("<I", 99), "unknown type 99", id="type"),
    pytest.param(b"GGUF", "longer than the file", id="cut short"),
    pytest.param(b"<html>", "it begins with b'<htm'", id="another file"),
    pytest.param(b"", "empty", id="empty"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "told"), ENDLESS)
def test_what_is_refused(data: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=f"x.gguf is not a GGUF file .*{told}"):
        check_gguf(file)


@pytest.mark.parametrize("user", ["rendering.load_tokenizer", "artifacts.parameter_count"])
def test_what_reads_the_file_checks_it_first(user: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(ENDLESS[0].values[0])  # type: ignore[arg-type]
    module, name = user.split(".")
    printed = bounded(
        "import sys\nfrom pathlib import Path\n"
        "from pytest_llmdiff.errors import ModelError\n"
        f"from pytest_llmdiff.engines.files.{module} import {name}\n"
        f"try:\n    {name}(Path(sys.argv[1]))\n"
        "except ModelError as error:\n    print(error)\n",
        file,
        memory=4 << 30,  # the library alone reserves more than it uses
        seconds=20,
    )
    assert "its arrays have 4,294,967,296 elements" in printed


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_true_header_passes(order: str, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    values = struct.pack(order + "IIQ", 9, 8, 2) + text(b"a", order) + text(b"bc", order)
    file.write_bytes(
        head(1, 2, order)
        + text(b"tokens", order) + values
        + text(b"n", order) + struct.pack(order + "II", 4, 7)
        + text(b"w", order) + struct.pack(order + "IQQIQ", 2, 3, 4, 0, 0)
    )  # fmt: skip
    check_gguf(file)
