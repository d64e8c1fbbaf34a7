"""How many maps of attention the page holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BUDGET = 8_000_000  # characters: those of some 100 failures


def leave_out_maps(tests: Sequence[Mapping[str, Any]], budget: int = BUDGET) -> None:
    """Take maps out of the page's tests once the budget is spent. The first tests keep theirs; the
    page says how to get the others."""
    for block in _blocks(tests):
        for place, each in enumerate(block["maps"]):
            budget -= sum(len(row) for side in ("base", "tuned") for row in each[side])
            if budget < 0:
                del block["maps"][place:]
                break


def _blocks(tests: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for test in tests:
        for probe in test.get("probes", ()):
            yield from (block for block in probe.get("folds", ()) if block["form"] == "heads")
