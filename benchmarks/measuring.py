"""CPU time, wall time and peak memory of one process and the workers it started.

Standard library only: the rival engines import it in their own environments.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs, read

# The thread settings of every library that a method uses.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}


class Clock:
    """Measures CPU time, and wall time as `wall`, from its creation to `stop`.

    Work that was given to a GPU is waited for at both ends.
    """

    def __init__(self) -> None:
        wait_for_gpu()
        self.wall = 0.0
        self._began = time.perf_counter()
        self._started = cpu_seconds()

    def stop(self) -> float:
        wait_for_gpu()
        self.wall = time.perf_counter() - self._began
        return cpu_seconds() - self._started

    def taken(self) -> dict[str, float]:
        """Stops, and names both times as the results have them."""
        return {"seconds": self.stop(), "wall_seconds": self.wall}


def used_cuda() -> Any:
    """`torch.cuda`, if this process has used a GPU; else None."""
    torch: Any = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def wait_for_gpu() -> None:
    if (cuda := used_cuda()) is not None:
        cuda.synchronize()


def machine() -> str:
    """The name of the GPU that this process used, else that of the processor."""
    if (cuda := used_cuda()) is not None:
        return str(cuda.get_device_name())
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines())
    known = (n for line, n in zip(text.splitlines(), names, strict=True) if "model name" in line)
    return next(known, platform.processor() or platform.machine())


def cpu_seconds() -> float:
    """User and system time of this process and all its children, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    tick = os.sysconf("SC_CLK_TCK")
    for pid in descendants():
        fields = _proc(pid, "stat").rpartition(")")[2].split()
        # Own user and system time, and that of ended children: fields 14 to 17 of proc(5).
        total += sum(map(int, fields[11:15])) / tick
    return total


def peak_mb() -> float:
    """Peak resident memory of this process and its running workers together."""
    total = 0
    for pid in (os.getpid(), *descendants()):
        for line in _proc(pid, "status").splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return (total or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def descendants() -> list[int]:
    """The running descendants of this process, if the system has /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _proc(int(entry.name), "stat").rpartition(")")[2].split()
        if fields:
            parents[int(entry.name)] = int(fields[1])
    found, wave = [], {os.getpid()}
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave}
        found += sorted(wave)
    return found


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError:
        return ""


def measured(measure: Callable[[Path, Inputs, str], dict[str, Any]]) -> None:
    """The body of a measuring script: `python -m MODULE FOLDER WAY RESULT`.

    `measure` returns plain JSON with `seconds`; the peak is added here.
    """
    folder, way, result = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    found = measure(folder, read(folder), way)
    found.setdefault("peak_mb", peak_mb())
    found["machine"] = machine()
    if (cuda := used_cuda()) is not None:
        # What torch reserved. An engine that takes a share of the GPU in advance has all of that.
        found["gpu_peak_mb"] = cuda.max_memory_reserved() / 2**20
    result.write_text(json.dumps(found), encoding="utf-8")
