"""What memory the control groups of Linux leave a process: a container's limit, or a job's.

What the machine has free says nothing of it (kernel documentation, admin-guide/cgroup-v2 and
cgroup-v1/memory).
"""

from __future__ import annotations

import math
from pathlib import Path

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
