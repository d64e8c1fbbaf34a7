"""Where replies of two models of a pair part: computed once, kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmdiff.comparison import Comparison
from pytest_llmdiff.engines.partings import Parting, about, asked
from pytest_llmdiff.engines.partings import partings as found
from pytest_llmdiff.generation import Generation


def partings(generation: Generation, comparisons: Sequence[Comparison]) -> list[Parting]:
    """Where the second reply of each comparison leaves the first, by one pass of the first model.

    Raises:
        CapabilityError: its engine has no logits.
    """
    told = [about(c) for c in comparisons]
    if not told:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, todo: list[Any]) -> list[dict[str, Any]]:
        return [asdict(parting) for parting in found(engine, list(map(asked, todo)), device)]

    values = generation.facts.get_all("parting", "base", told, compute)
    return [Parting(**value) for value in values]
