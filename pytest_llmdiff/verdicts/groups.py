"""Is one group of a set beyond a limit that the set as a whole keeps?

Groups are judged one by one, and the more there are, the likelier one of them is beyond a limit by
chance. So the lower bound of each has the error `ERROR` divided by their number: Bonferroni's, and
the first step of Holm's (1979), the only one that decides whether any group is beyond.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmdiff.verdicts.bounds.intervals import ERROR
from pytest_llmdiff.verdicts.estimates import mean_estimate, rate_estimate
from pytest_llmdiff.verdicts.evidence import ANYWHERE, several
from pytest_llmdiff.verdicts.sets import Sample
from pytest_llmdiff.verdicts.verdict import Verdict

# Smaller groups show too little to be judged, and would only make the bounds of the others wider.
MIN_MEMBERS = 5
# By name, the positions of a group's members in the set.
Groups = Mapping[str, Sequence[int]]
# Values of a change between two outcomes, such as "only the tuned model refuses one of the two".
CHANGES = frozenset((-1.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Group:
    """The mean of a group's `members`, its lower bound at the error for all groups, and at the
    error that it would have alone."""

    name: str
    members: int
    value: float
    low: float
    alone: float


def judge_groups(verdict: Verdict, sample: Sample, groups: Groups) -> Verdict:
    """The verdict on a set, with its worst group and the groups that are too small in `details`.

    Regressed if the bound of a group is beyond the limit; inconclusive instead of passed if it
    would be as the only group. Not judged instead of passed if a group that is too small seems to
    be beyond it: all of its members are, two or more, or its bound as the only group. A pass does
    not show that each group keeps the limit, since groups are small.
    """
    limit = verdict.measurement.limit
    if limit is None or verdict.bound != "at_most" or not groups:
        return verdict
    small = {name: len(places) for name, places in groups.items() if len(places) < MIN_MEMBERS}
    verdict = _with_details(verdict, {"groups too small": small} if small else {})
    verdict = _by_worst(verdict, limit, _judged(sample, groups))
    if verdict.outcome == "passed" and (seems := _seem_beyond(sample, groups, small, limit)):
        why = (
            f"{', '.join(f'{name} ({small[name]})' for name in seems)} may be beyond {limit:g}, "
            f"and it takes {MIN_MEMBERS} pairs to judge a group"
        )
        known = replace(verdict.measurement, unsupported=why)
        return replace(verdict, measurement=known, outcome="not judged")
    return verdict


def _with_details(verdict: Verdict, more: Mapping[str, object]) -> Verdict:
    m = verdict.measurement
    return replace(verdict, measurement=replace(m, details={**m.details, **more}))


def _by_worst(verdict: Verdict, limit: float, found: Sequence[Group]) -> Verdict:
    """The verdict by the worst of the groups that are large enough."""
    if not found:
        return verdict
    worst = max(found, key=lambda group: (group.low, group.alone, group.value))
    details = {
        "worst group": worst.name, "worst group value": worst.value,
        "worst group low": worst.low, "worst group members": worst.members,
        "groups": len(found),
    }  # fmt: skip
    verdict = _with_details(verdict, details)
    if verdict.outcome != "regressed" and worst.low > limit:
        known = replace(verdict.measurement, unsupported=None)
        return replace(verdict, measurement=known, outcome="regressed", decides=None)
    if verdict.outcome == "passed" and worst.alone > limit:
        return replace(verdict, outcome="inconclusive")
    return verdict


def _seem_beyond(sample: Sample, groups: Groups, small: Iterable[str], limit: float) -> list[str]:
    """The names of the groups that are too small, and seem to be beyond the limit nevertheless."""
    values = _known(sample)
    found = []
    for name in small:
        own = [values[n] for n in groups[name]]
        clusters = [sample.clusters[n] for n in groups[name]]
        all_are = len(set(clusters)) > 1 and min(own) > limit
        if all_are or _bound(sample, values, own, clusters, ERROR) > limit:
            found.append(name)
    return found


def _known(sample: Sample) -> list[float]:
    """The values. What could not be judged counts as the smallest possible one, and so decides
    nothing."""
    return [sample.support[0] if value is None else value for value in sample.values]


def _judged(sample: Sample, groups: Groups) -> list[Group]:
    """The groups that are large enough for a bound."""
    usable = {name: places for name, places in groups.items() if len(places) >= MIN_MEMBERS}
    values = _known(sample)
    found = []
    for name, places in usable.items():
        own = [values[n] for n in places]
        if all(map(math.isfinite, own)):
            clusters = [sample.clusters[n] for n in places]
            low, alone = (
                _bound(sample, values, own, clusters, error)
                for error in (ERROR / len(usable), ERROR)
            )
            mean = math.fsum(own) / len(own)
            found.append(Group(name=name, members=len(own), value=mean, low=low, alone=alone))
    return found


def _bound(
    sample: Sample,
    values: Sequence[float],
    own: Sequence[float],
    clusters: Sequence[str],
    error: float,
) -> float:
    """The lower bound of the mean of a group's `own` values, among those of the whole set.

    For changes of an outcome it is the exact bound of the share that rose, less the largest share
    that may have fallen: in the set, and in the group if any of it fell. A bound from the group
    alone would have to reckon with falls of which the set has none.
    """
    given = several(clusters)
    if sample.support != (-1.0, 1.0) or not CHANGES.issuperset(values):
        unseen = ANYWHERE if sample.dense else sample.unseen
        return mean_estimate(own, given, support=sample.support, unseen=unseen, error=error).low
    fallen = [value < 0 for value in own]
    most = rate_estimate([value < 0 for value in values], several(sample.clusters)).high
    if any(fallen):
        most = max(most, rate_estimate(fallen, given).high)
    return rate_estimate([value > 0 for value in own], given, error=error).low - most
