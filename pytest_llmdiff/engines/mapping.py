"""Weights that are mapped from files: their pages count as memory until they are let go."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAPS = Path("/proc/self/maps")


class MappedFiles:
    """The places at which this process has mapped safetensors files, where the system tells.

    transformers maps a file as a whole, and no part of it is given back while one tensor of it is
    in use.
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        if MAPS.is_file() and hasattr(mmap, "MADV_DONTNEED"):
            for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
                place, *_, last = line.split()
                if last.endswith(".safetensors"):
                    start, end = (int(part, 16) for part in place.split("-"))
                    self._ranges.append((start, end))

    def forget(self, tensor: torch.Tensor) -> bool:
        """Let the pages of a tensor go, if they are those of a file; they are read again on use.

        Only whole pages that no other tensor shares, and only of files: other memory has no copy
        to be read again from. Returns whether that was so.
        """
        start = tensor.data_ptr()
        end = start + tensor.numel() * tensor.element_size()
        if not any(first <= start and end <= last for first, last in self._ranges):
            return False
        page = mmap.PAGESIZE
        start, end = -(-start // page) * page, end // page * page
        if start < end:
            advise = ctypes.CDLL(None).madvise
            advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            advise(start, end - start, mmap.MADV_DONTNEED)
        return True
