"""The command line: `python -m benchmarks.faults` (see the package)."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import benchmarks.faults
from benchmarks.faults.bombs import bombs, tokenizers
from benchmarks.faults.damages import damages
from benchmarks.faults.full_disks import NoDisk, full_disks
from benchmarks.faults.interruptions import interruptions
from benchmarks.faults.kills import kills
from benchmarks.faults.mutations import mutations
from benchmarks.faults.tally import Tally, table

Kind = Callable[[Tally, int, random.Random], None]

# Each kind: what tries it, how many faults in full, and how many in short.
KINDS: Mapping[str, tuple[Kind, int, int]] = {
    "kills": (kills, 200, 3),
    "kills-n2": (partial(kills, mode=("-n2",)), 50, 1),
    "damages": (damages, 52, 3),
    "full-disks": (full_disks, 36, 2),
    "interruptions": (interruptions, 21, 0),  # they depend on how fast the machine is
    "mutations": (mutations, 20_000, 60),
    "bombs": (bombs, 1000, 12),
    "tokenizers": (tokenizers, 1000, 4),
}


def main(arguments: Sequence[str] | None = None) -> list[Tally]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=benchmarks.faults.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=[*KINDS], metavar="NAME",
                        help=f"among {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--count", type=int, help="faults of each kind")
    parser.add_argument("--short", action="store_true", help="a few of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="the rows, after each kind")
    given = parser.parse_args(arguments)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Forks share no threads of a library for arrays.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    tallies: list[Tally] = []
    for name in given.kind:
        attempt, full, short = KINDS[name]
        count = given.count or (short if given.short else full)
        if not count:
            continue
        tallies.append(Tally(kind=name))
        try:
            attempt(tallies[-1], count, random.Random(f"{given.seed} {name}"))
        except NoDisk as error:
            print(f"{name}: no small file system can be mounted ({error}); run this as root, or "
                  "under `unshare -Urm`", file=sys.stderr)  # fmt: skip
        if given.json is not None:
            rows = json.dumps([tally.row for tally in tallies], indent=1)
            given.json.write_text(rows + "\n", encoding="utf-8")
    print(table(tallies))
    return tallies


if __name__ == "__main__":
    main()
