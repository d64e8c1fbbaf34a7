"""Device, dtype, memory and threads of this process, and which of several devices is its own."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    pass


BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}


def resolve_device(requested: str) -> str:
    """The type of the device: `auto` is cuda, else mps, else cpu.

    Raises:
        ModelError: the requested device is not there.
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
    """`auto` is bfloat16 on a GPU and float32 on a CPU, where bfloat16 buys little and is noisy."""
    if requested != "auto":
        return requested
    return "float32" if device == "cpu" else "bfloat16"


def limit_threads() -> None:
    """Use the cores this process may use, shared with its xdist siblings, and no more.

    Two threads on two busy cores run several times slower than one: they spin. OMP_NUM_THREADS, a
    decision of the user's, is left alone.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, cores // workers))


def empty_cache() -> None:
    """Give unused accelerator memory back."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
# Of either version: limit, use, and what of the use are files that the kernel would drop.
FILES = {
    "2": ("memory.max", "memory.current", "inactive_file"),
    "1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def memory_left(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> float:
    """Bytes until the nearest limit; infinite where there is none, or none is told."""
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
        # A limit of any group above holds too; inside a container the root is its own group.
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


# Beside the weights, for the least that an adapter and one small batch take.
ROOM = 1.1


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the models of this process go.

    `device` is a type: cuda, mps or cpu, or server where the models are elsewhere. `index` is the
    one CUDA device that the process keeps to, None where it may use all of them, of which there
    are `count`; of those that ask servers it is the number of the process. `shares` is among how
    many devices, each with a process of its own, the work is divided.
    """

    device: str
    index: int | None = None
    count: int = 0
    shares: int = 1

    @property
    def name(self) -> str:
        """As torch names it: cuda:1, or the type alone."""
        return self.device if self.index is None else f"{self.device}:{self.index}"

    @property
    def locks(self) -> tuple[str, ...]:
        """Names of the locks that a process holds while it has models: one for each device."""
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
    """The placement in one process of a run; equal in all of them but for the index.

    `requested` is the option, `device` the type that it came out as, `worker` xdist's name of this
    process. `memory` gives the bytes of each CUDA device, `needed` those of the larger model; both
    are asked for only where the answer matters. Where the smallest device has no room for one
    model, the models are spread over all, and one process at a time has all of them.

    Raises:
        ModelError: the requested index is not there.
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
    """The placement of a process whose models are both behind servers: all of xdist's processes ask
    them, each its share, since one alone would be what the servers wait for."""
    number = re.fullmatch(r"gw(\d+)", worker or "")
    if number is None:
        return Placement(device="server")
    return Placement(device="server", index=int(number[1]), count=workers, shares=workers)


def cuda_memory() -> list[float]:
    """Bytes of each CUDA device, used or not."""
    import torch

    devices = range(torch.cuda.device_count())
    return [float(torch.cuda.get_device_properties(index).total_memory) for index in devices]


def free_memory(device: str) -> float:
    """Bytes that a model could take now on a device (cuda:1), or on all of a type (cuda)."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        import torch

        indices = [int(index)] if index else range(torch.cuda.device_count())
        return float(sum(torch.cuda.mem_get_info(number)[0] for number in indices))
    import psutil

    return min(float(psutil.virtual_memory().available), memory_left())
