"""Checks the header of a GGUF file before a library reads it, which believes every count in it.

The layout is that of ggml's docs/gguf.md, version 3; versions 2 and 3 differ in byte order only.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from pytest_llmdiff.errors import ModelError

MAGIC = b"GGUF"
TEXT, ARRAY = 8, 9
# Sizes of the other types: integers of 1 to 8 bytes, floats, booleans.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# The reader makes objects of every element. The largest vocabularies, of some 300,000 tokens, have
# three arrays of that length and one of merges, which is twice as long.
MOST_ELEMENTS = 2_000_000
# Mixtures of experts have some ten thousand tensors at most, and the keys are dozens.
MOST_ENTRIES = 100_000
MOST_DIMENSIONS = 8


def check_gguf(file: Path) -> None:
    """Hold all counts and lengths in the header against the size of the file.

    Raises:
        ModelError: the file cannot be what it says.
    """
    try:
        with (
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            _Header(data).check()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} is not a GGUF file or is cut short: {error}; copy it again from where it was "
            "made"
        ) from error


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.elements = data, 0, 0
        version = data[4:8]
        # Little-endian files have the low byte first; big-endian ones have it last.
        self.order = "<" if version[:2] != b"\0\0" else ">"

    def check(self) -> None:
        if self.data[:4] != MAGIC:
            raise ValueError(f"it begins with {self.data[:4]!r}")
        self.at = 8
        tensors, keys = self.number("Q"), self.number("Q")
        for count in (tensors, keys):
            if count > MOST_ENTRIES:
                raise ValueError(f"it says that it has {count:,} entries")
        for _ in range(keys):
            self.text()
            self.value(self.number("I"))
        for _ in range(tensors):
            self.text()
            dimensions = self.number("I")
            if dimensions > MOST_DIMENSIONS:
                raise ValueError(f"a tensor has {dimensions:,} dimensions")
            self.skip(8 * dimensions + 12)  # and its type and place

    def value(self, kind: int) -> None:
        if kind == TEXT:
            self.text()
        elif kind == ARRAY:
            self.array(self.number("I"), self.number("Q"))
        else:
            self.skip(self.size(kind))

    def array(self, kind: int, length: int) -> None:
        self.elements += length
        if self.elements > MOST_ELEMENTS:
            raise ValueError(
                f"its arrays have {self.elements:,} elements or more; at most {MOST_ELEMENTS:,} "
                "are read"
            )
        if kind == ARRAY:
            raise ValueError("it has an array of arrays")
        if kind != TEXT:
            self.skip(length * self.size(kind))
            return
        for _ in range(length):
            self.text()

    def size(self, kind: int) -> int:
        if kind not in SIZES:
            raise ValueError(f"it has a value of the unknown type {kind}")
        return SIZES[kind]

    def text(self) -> None:
        self.skip(self.number("Q"))

    def number(self, form: str) -> int:
        at = self.at
        self.skip(struct.calcsize("<" + form))
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise ValueError("its header is longer than the file")
