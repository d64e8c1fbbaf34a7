"""Weights that are mapped from files. Their pages count as used memory until they are released."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAPS = Path("/proc/self/smaps")
# Entries of a private mapping for pages that were written to.
WRITTEN = ("Anonymous", "Swap")


class MappedFiles:
    """Where this process has mapped safetensors files, on systems that report it.

    transformers maps a whole file, and no page of it is released while one of its tensors is in
    use. Mappings that were written to are left out, since the file does not have those pages.
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        if MAPS.is_file() and hasattr(mmap, "MADV_DONTNEED"):
            self._ranges = list(_unwritten(MAPS.read_text(encoding="utf-8", errors="replace")))

    def forget(self, tensor: torch.Tensor) -> bool:
        """Release the pages of a tensor if it is mapped from a file; they are read again on use.

        Pages that it shares with neighbouring tensors are released too. Returns whether it is
        mapped.
        """
        start = tensor.data_ptr()
        end = start + tensor.numel() * tensor.element_size()
        if not any(first <= start and end <= last for first, last in self._ranges):
            return False
        page = mmap.PAGESIZE
        # A mapping consists of whole pages, so this stays within it.
        start, end = start // page * page, -(-end // page) * page
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        advise(start, end - start, mmap.MADV_DONTNEED)
        return True


def _unwritten(smaps: str) -> Iterator[tuple[int, int]]:
    """First and last address of each safetensors mapping, from the text of proc_pid_smaps(5)."""
    place: tuple[int, int] | None = None
    for line in smaps.splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            if place is not None:
                yield place
            first, last = (int(part, 16) for part in name.split("-"))
            place = (first, last) if line.endswith(".safetensors") else None
        elif name[:-1] in WRITTEN and rest[0] != "0":
            place = None
    if place is not None:
        yield place
