"""Device, dtype, memory and threads of this process, and which of several devices it uses."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdiff.errors import ModelError

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}


def resolve_device(requested: str) -> str:
    """The type of the device. `auto` is cuda, else mps, else cpu.

    Raises:
        ModelError: the requested device does not exist here.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if requested == "auto":
        return next((device for device, found in there.items() if found), "cpu")
    device, _, _ = requested.partition(":")
    if not there.get(device, True):
        raise ModelError(f"--llmdiff-device {requested}: torch finds no such device here")
    return device


def resolve_dtype(requested: str, device: str) -> str:
    """`auto` is bfloat16 on a GPU, float32 on a CPU, where bfloat16 saves little and is noisy."""
    if requested != "auto":
        return requested
    return "float32" if device == "cpu" else "bfloat16"


def limit_threads() -> None:
    """Limit torch's threads to this process's share of the cores; xdist workers divide them.

    Two threads on two busy cores run several times slower than one, since they spin. If the user
    has set OMP_NUM_THREADS, it stays in force.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, cores // workers))


def empty_cache() -> None:
    """Release unused memory of the accelerator."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
# By version of cgroups: the files with the limit and the usage, and the entry of memory.stat for
# file pages that the kernel would drop.
FILES = {
    "2": ("memory.max", "memory.current", "inactive_file"),
    "1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def memory_left(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> float:
    """Bytes left below the tightest cgroup limit; infinite where none is known."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return math.inf
    left = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, version = mount, "2"
        elif "memory" in controllers.split(","):
            root, version = mount / "memory", "1"
        else:
            continue
        own = root / path.lstrip("/")
        # Limits of all parent groups apply too; inside a container, the root is its own group.
        for group in (own, *own.parents):
            left = min(left, _left_in(group, *FILES[version]))
            if group == root:
                break
    return left


def _left_in(group: Path, limit: str, use: str, droppable: str) -> float:
    try:
        most = float((group / limit).read_text(encoding="ascii"))
        used = float((group / use).read_text(encoding="ascii"))
        stat = dict(map(str.split, (group / "memory.stat").read_text("ascii").splitlines()))
        return max(most - used + float(stat.get(droppable, 0)), 0.0)
    except (OSError, ValueError):  # no such group or file, or "max": no limit
        return math.inf


# The size of the weights times this also fits an adapter and one small batch.
ROOM = 1.1


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the models of this process go.

    `device` is a type: cuda, mps or cpu, or server where both models are behind servers. `index` is
    the CUDA device of this process, None where it may use all `count` of them; with servers, it is
    the number of the process. `shares` is the number of processes that divide the work.
    """

    device: str
    index: int | None = None
    count: int = 0
    shares: int = 1

    @property
    def name(self) -> str:
        """The name that torch uses: cuda:1, or the type alone."""
        return self.device if self.index is None else f"{self.device}:{self.index}"

    @property
    def locks(self) -> tuple[str, ...]:
        """Names of the locks that a process holds while it has models: one per device."""
        if self.device == "server" and self.index is not None:
            return (f"models-server-{self.index}",)
        if self.device != "cuda":
            return ("models",)
        indices = range(self.count) if self.index is None else (self.index,)
        return tuple(f"models-cuda-{index}" for index in indices)


def placed(
    requested: str,
    device: str,
    *,
    worker: str | None,
    memory: Callable[[], Sequence[float]],
    needed: Callable[[], float],
) -> Placement:
    """The placement of one process of a run. All processes get the same one, except the index.

    `requested` is the option, `device` its resolved type, `worker` xdist's name of this process.
    `memory` returns the bytes of each CUDA device, `needed` those of the larger model; both are
    called only where the answer matters. If a model does not fit the smallest device, models are
    spread over all devices, and one process at a time uses them.

    Raises:
        ModelError: there is no device with the requested index.
    """
    if device != "cuda":
        return Placement(device=device)
    count = len(memory())
    _, _, given = requested.partition(":")
    if given:
        if int(given) >= count:
            raise ModelError(
                f"--llmdiff-device {requested}: the CUDA devices here are numbered from 0, and "
                f"there are {count}"
            )
        return Placement(device=device, index=int(given), count=count)
    number = re.fullmatch(r"gw(\d+)", worker or "")
    if number is None or count < 2 or needed() * ROOM > min(memory()):
        return Placement(device=device, count=count)
    return Placement(device=device, index=int(number[1]) % count, count=count, shares=count)


def placed_elsewhere(worker: str | None, workers: int) -> Placement:
    """The placement where both models are behind servers: all xdist workers send requests, each its
    share, because one process alone could not keep the servers busy."""
    number = re.fullmatch(r"gw(\d+)", worker or "")
    if number is None:
        return Placement(device="server")
    return Placement(device="server", index=int(number[1]), count=workers, shares=workers)


def cuda_memory() -> list[float]:
    """Total bytes of each CUDA device."""
    import torch

    devices = range(torch.cuda.device_count())
    return [float(torch.cuda.get_device_properties(index).total_memory) for index in devices]


def free_memory(device: str) -> float:
    """Free bytes on a device (cuda:1), or on all devices of a type (cuda)."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        import torch

        indices = [int(index)] if index else range(torch.cuda.device_count())
        return float(sum(torch.cuda.mem_get_info(number)[0] for number in indices))
    import psutil

    return min(float(psutil.virtual_memory().available), memory_left())
