"""How far a value moved from one run to the next, and whether that is worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.reports.order import on_scale


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A measure's value and limit in two runs; None where a run has none. `bound` is the side of
    the limit that the value has to be on, `at_most` or `at_least`."""

    name: str
    unit: str
    before: float | None
    after: float | None
    limit_before: float | None = None
    limit_after: float | None = None
    bound: str | None = None
    broken: bool = False  # now, and not before

    @classmethod
    def between(cls, name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Shift:
        """From the rows of a verdict in two reports."""
        return cls(
            name=name,
            unit=now["unit"],
            before=was["value"],
            after=now["value"],
            limit_before=was["limit"],
            limit_after=now["limit"],
            bound=now["bound"],
            broken=now.get("outcome") == "regressed" != was.get("outcome"),
        )

    @property
    def worsening(self) -> float:
        """How much worse it got, on the measure's own scale; negative if better. A value that is
        no number any more is infinitely worse. Where there was none before, the limit counts in
        its place, or else 0."""
        if self.after is None:
            return 0.0 if self.before is None else float("inf")
        before = self.before if self.before is not None else (self.limit_after or 0.0)
        distance = on_scale(abs(self.after - before), self.unit)
        return distance if (self.after > before) == (self.bound != "at_least") else -distance
