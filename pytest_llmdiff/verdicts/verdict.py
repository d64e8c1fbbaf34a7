"""From measurements to verdicts: a single value is compared with its limit, a set is judged by
`set_verdicts`. What cannot be judged never passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pytest_llmdiff.data.comparison import Measurement

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.set_verdicts import Evidence

Bound = Literal["at_most", "at_least"]
Outcome = Literal["passed", "regressed", "inconclusive", "not judged", "no limit"]
GIVEN = "given in the test"
BY_ACCEPTANCE = "; the change beyond it was accepted"
OWN = "this helper's own"
CALIBRATED = "a baseline's, which this run measures"
BY_BOUND = "; the value is at least this"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A measurement compared with its limit; `bound` says on which side the value must be.

    For a set, the value is the estimate and `evidence` what it is based on; if inconclusive,
    `decides` is at how many such questions 80 % of the sets would decide, or None if at no number.
    `packaged` says that the set is a ready-made suite's, which cannot grow. `why` says why there is
    no limit. `p` is that of the evidence. Under a calibrated limit, `noise` is what the noise
    reached in the calibration, and `chance` how likely at most an unchanged model breaks the limit
    anywhere in the test; None if that is unknown.
    """

    measurement: Measurement
    outcome: Outcome
    bound: Bound = "at_most"
    source: str = GIVEN
    evidence: Evidence | None = None
    decides: int | None = None
    packaged: bool = False
    why: str = ""
    p: float | None = None
    chance: float | None = None
    noise: float | None = None

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def label(name: str, scope: str) -> str:
    """The name of a set's quantity, with the tags that the set was restricted to."""
    return f"{name} [{scope}]" if scope else name


def judge(
    measurement: Measurement,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    source: str = GIVEN,
) -> list[Verdict]:
    """One verdict per given limit; a single "no limit" verdict if none is given.

    What is not finite keeps no limit.
    """
    limits = limits_of(at_most, at_least)
    if measurement.unsupported is not None:
        least = -math.inf if measurement.least is None else measurement.least
        if at_most is None or not least > at_most:
            return [Verdict(measurement=measurement, outcome="not judged", source=source)]
        # The value is unknown, but certainly above the limit.
        known = replace(measurement, value=least, limit=at_most, unsupported=None)
        return [Verdict(measurement=known, outcome="regressed", source=source + BY_BOUND)]
    if not limits:
        return [Verdict(measurement=measurement, outcome="no limit", source=source)]
    verdicts = []
    for bound, limit in limits:
        value = measurement.value
        within = value <= limit if bound == "at_most" else value >= limit
        kept = within and math.isfinite(value)
        verdicts.append(
            Verdict(
                # As `replace`, which takes three times as long.
                measurement=Measurement(**{**vars(measurement), "limit": limit}),
                outcome="passed" if kept else "regressed",
                bound=bound,
                source=source,
            )
        )
    return verdicts


def limits_of(at_most: float | None, at_least: float | None) -> list[tuple[Bound, float]]:
    """Those that are given."""
    given: list[tuple[Bound, float | None]] = [("at_most", at_most), ("at_least", at_least)]
    return [(bound, limit) for bound, limit in given if limit is not None]
