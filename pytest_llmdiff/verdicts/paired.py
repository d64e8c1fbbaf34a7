"""Evidence about a quantity that each side has by itself: its level, and its paired change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from pytest_llmdiff.verdicts.evidence import change_evidence, mean_evidence, rate_evidence
from pytest_llmdiff.verdicts.set_verdicts import Evidence
from pytest_llmdiff.verdicts.sets import Sample


@dataclass(frozen=True, kw_only=True)
class Named:
    """What reports call a quantity of a set. `moved` and `opposite` name the members whose value
    rose and fell, such as "answers gained" and "answers lost"."""

    name: str
    unit: str
    moved: str = ""
    opposite: str = ""


def level_evidence(sample: Sample, named: Named, *, scope: str = "") -> Evidence:
    """The mean of a side's values; of values that are 0 or 1, their share."""
    binary = _binary(sample)
    found = rate_evidence(sample, over=0, scope=scope) if binary else mean_evidence(sample)
    return replace(found, name=named.name, unit=named.unit, scope=scope)


def paired_evidence(base: Sample, tuned: Sample, named: Named, *, scope: str = "") -> Evidence:
    """By how much the mean rose from base to tuned, paired by member.

    Where every value is 0 or 1 it is the change of a share, for which there are sharper bounds
    than for the mean of differences (docs/statistics.md). `details` has both sides' means, and how
    many members rose and fell.
    """
    if _binary(base, tuned):
        found = change_evidence(base, tuned, over=0)
    else:
        found = mean_evidence(differences(base, tuned))
    details = _both_sides(base, tuned, named)
    return replace(found, name=named.name, unit=named.unit, scope=scope, details=details)


def mean_of(sample: Sample) -> float | None:
    """The mean of the values that are known; None if there are none, or one is not finite."""
    return _mean([value for value in sample.values if value is not None])


def _binary(*samples: Sample) -> bool:
    return all(value in (None, 0.0, 1.0) for sample in samples for value in sample.values)


def differences(base: Sample, tuned: Sample) -> Sample:
    """Tuned minus base. A member that lacks one of them could not be judged."""
    values = [None if b is None or t is None else t - b for b, t in _pairs(base, tuned)]
    reasons = {**base.unsupported, **tuned.unsupported}
    missing = values.count(None)
    (low, high), (base_low, base_high) = tuned.support, base.support
    return replace(
        tuned,
        values=values,
        support=(low - base_high, high - base_low),
        unseen=None,
        least=(),
        unsupported={next(iter(reasons)): missing} if missing else {},
    )


def _both_sides(base: Sample, tuned: Sample, named: Named) -> dict[str, Any]:
    judged = [(b, t) for b, t in _pairs(base, tuned) if b is not None and t is not None]
    if not judged:
        return {}
    risen, fallen = (sum(t > b for b, t in judged), sum(t < b for b, t in judged))
    return {
        "base": _mean([b for b, _ in judged]),
        "tuned": _mean([t for _, t in judged]),
        named.moved: risen,
        named.opposite: fallen,
        "moved": named.moved,
        "opposite": named.opposite,
        "net": risen - fallen,
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values and all(map(math.isfinite, values)) else None


def _pairs(base: Sample, tuned: Sample) -> list[tuple[float | None, float | None]]:
    return list(zip(base.values, tuned.values, strict=True))
