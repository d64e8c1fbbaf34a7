"""The five counts of a kind of fault, and the table of all kinds."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("tried", "wrong verdicts", "lost", "hung", "half-written")


@dataclass(kw_only=True)
class Tally:
    """What came of the faults of one kind."""

    kind: str
    tried: int = 0
    wrong_verdicts: int = 0
    lost: int = 0
    hung: int = 0
    half_written: int = 0

    def add(self, column: str, what: str) -> None:
        """Count a fault that was not withstood, and tell of it on standard error."""
        setattr(self, column, getattr(self, column) + 1)
        print(f"{self.kind}, {column.replace('_', ' ')}: {what}", file=sys.stderr, flush=True)

    @property
    def row(self) -> dict[str, Any]:
        return asdict(self)


def table(tallies: Iterable[Tally]) -> str:
    lines = [f"| kind | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    lines += [f"| {' | '.join(map(str, tally.row.values()))} |" for tally in tallies]
    return "\n".join(lines)
