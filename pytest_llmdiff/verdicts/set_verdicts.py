"""From evidence about a set to verdicts: passed only if the interval shows that the limit is kept,
regressed only if it shows that the limit is broken, else inconclusive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Measurement
from pytest_llmdiff.verdicts.decisions import decide, deciding_size
from pytest_llmdiff.verdicts.verdict import (
    BY_BOUND,
    GIVEN,
    Bound,
    Outcome,
    Verdict,
    label,
    limits_of,
)

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a set shows about one quantity; higher is worse.

    `estimate` covers the members that could be judged. If some could not, `highest` and `lowest`
    count each of them as the largest and the smallest possible value, so that they cannot decide a
    verdict. `bounded` says that some of them have a known lower bound: `lowest` is then valid even
    if no member was judged. `not_finite` counts NaN and infinite values. `moved` counts the
    questions with a value other than 0, an event or a change; with `rate`, the quantity is a rate
    or its change, and an event is a value above `over`. `p` is the two-sided p-value of "nothing
    changed" if the quantity is a change (`flips.Flips`). If only some of the `whole` questions can
    move, `among` names these, and `able` counts them, with those that may be among them and may
    have moved. `scope` names the tags that the set was restricted to. `blames` says that the
    sample's worst members with values above 0 speak against the set, on whichever side the limit
    is. `details` are for the reports.
    """

    name: str
    unit: str
    estimate: Estimate
    highest: Estimate
    lowest: Estimate
    unsupported: Mapping[str, int] = field(default_factory=dict)
    not_finite: int = 0
    bounded: bool = False
    moved: int = 0
    rate: bool = False
    over: float = 0.0
    p: float | None = None
    scope: str = ""
    among: str = ""
    able: int = 0
    whole: int = 0
    blames: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return label(self.name, self.scope)

    @property
    def missing(self) -> int:
        return sum(self.unsupported.values())


def judge_set(
    evidence: Evidence,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    source: str = GIVEN,
) -> list[Verdict]:
    """One verdict per given limit on a set's quantity; a single one if none is given."""
    value = math.nan if evidence.not_finite else evidence.estimate.value
    measurement = Measurement(
        name=evidence.name, value=value, unit=evidence.unit, details=evidence.details
    )
    limits = limits_of(at_most, at_least)
    if not limits:
        plain = Verdict(measurement=measurement, outcome="no limit", source=source)
        if evidence.missing and not evidence.estimate.n:
            known = replace(measurement, unsupported=_unjudged(evidence))
            plain = replace(plain, measurement=known, outcome="not judged")
        return [replace(plain, evidence=evidence)]
    return [_judged(evidence, measurement, bound, limit, source) for bound, limit in limits]


def _judged(
    evidence: Evidence, measurement: Measurement, bound: Bound, limit: float, source: str
) -> Verdict:
    # `bound` is the name of the keyword argument.
    held: dict[str, float] = {bound: limit}
    against, for_ = (evidence.highest, evidence.lowest)
    if bound == "at_least":
        against, for_ = for_, against
    outcome: Outcome = "inconclusive"
    # Nothing keeps a limit that is NaN.
    broken = evidence.not_finite or math.isnan(limit)
    known = evidence.estimate.n or (evidence.bounded and bound == "at_most")
    if broken or (known and decide(for_, **held) == "regressed"):
        outcome = "regressed"
        if not evidence.estimate.n and evidence.bounded:
            # No member was judged, but the lower bounds decide, so all count as judged.
            evidence = replace(evidence, estimate=for_, unsupported={})
            measurement = replace(measurement, value=for_.value)
            source += BY_BOUND
    elif evidence.estimate.n == 0 and evidence.missing:
        outcome = "not judged"
    elif decide(against, **held) == "passed":
        outcome = "passed"
    elif evidence.missing and (
        decide(evidence.estimate, **held) != "inconclusive"
        # However many more were judged, those that cannot be would leave it open.
        or min(for_.value, against.value) <= limit < max(for_.value, against.value)
    ):
        outcome = "not judged"
    why = None
    if outcome == "not judged":
        why = _unjudged(evidence)
    elif outcome == "inconclusive" and (few := too_few(evidence, limit)):
        outcome, why = "not judged", few
    undecided = outcome == "inconclusive"
    return Verdict(
        measurement=replace(measurement, limit=limit, unsupported=why),
        outcome=outcome,
        bound=bound,
        source=source,
        evidence=evidence,
        decides=deciding_size(evidence.estimate, **held) if undecided else None,
    )


def _unjudged(evidence: Evidence) -> str:
    """Why a verdict depends on members that could not be judged."""
    reason, count = max(evidence.unsupported.items(), key=lambda item: item[1])
    return (
        f"{evidence.missing} of {evidence.missing + evidence.estimate.n} replies could not be "
        f"judged, and the verdict depends on them; reason for {count}: {reason}"
    )


def too_few(evidence: Evidence, limit: float) -> str:
    """Why so few questions can move that a limit could not be shown to be kept even if none did;
    empty if there are enough, or all can move.
    """
    if not evidence.among or not limit > 0:
        return ""
    from pytest_llmdiff.verdicts.bounds.intervals import fewest

    needed = fewest(limit) if limit < 1 else 1
    if evidence.able >= needed:
        return ""
    return (
        f"{evidence.among}: {evidence.able} of {evidence.whole}, and {needed} are needed to show "
        f"that at most {limit:g} of them moved"
    )
