"""Where a process puts its models, and whose turn it has to take for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmdiff.errors import ModelError

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
    def turns(self) -> tuple[str, ...]:
        """Names of the turns that a process holds while it has models: one for each device."""
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

    from pytest_llmdiff.engines.control_groups import memory_left

    return min(float(psutil.virtual_memory().available), memory_left())
