"""From a measurement to a verdict: value against limit. What cannot be judged never passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pytest_llmdiff.comparison import Measurement

Outcome = Literal["passed", "regressed", "not judged", "no limit"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A measurement held against its limit; `bound` says on which side of it the value must be."""

    measurement: Measurement
    outcome: Outcome
    bound: Literal["at_most", "at_least"] = "at_most"
    source: str = "given in the test"

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def judge(
    measurement: Measurement,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    source: str = "given in the test",
) -> list[Verdict]:
    """One verdict per given limit; a single one, "no limit", where none is given.

    A value that is no number (NaN) keeps no limit.
    """
    limits: list[tuple[Literal["at_most", "at_least"], float]] = []
    if at_most is not None:
        limits.append(("at_most", at_most))
    if at_least is not None:
        limits.append(("at_least", at_least))
    if measurement.unsupported is not None:
        return [Verdict(measurement=measurement, outcome="not judged", source=source)]
    if not limits:
        return [Verdict(measurement=measurement, outcome="no limit", source=source)]
    verdicts = []
    for bound, limit in limits:
        value = measurement.value
        kept = value <= limit if bound == "at_most" else value >= limit
        verdicts.append(
            Verdict(
                measurement=replace(measurement, limit=limit),
                outcome="passed" if kept else "regressed",
                bound=bound,
                source=source,
            )
        )
    return verdicts
