"""Differences between models that answered the same probes: which of them are real."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.verdicts.bounds.intervals import ERROR

Key = Any  # of one value: its test, its probe, and which repeat it is
Values = Mapping[Key, float | None]
# The least and the largest value of measures; those of others have no known end.
SUPPORTS = {"toxicity": (0.0, 1.0), "toxicity rise": (-1.0, 1.0), "semantic drift": (0.0, 2.0)}
UNSEEN = {"semantic drift": (0.0, 1.0)}  # of these, a sample misses none above (`views.View`)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much the mean of one model is above that of another, over the same `probes`.

    `low` and `high` are bounds that hold together with those of all other differences of the
    ranking; None where there is no bound.
    """

    value: float
    low: float | None
    high: float | None
    probes: int

    @property
    def turned(self) -> Difference:
        """The same difference, of the other model to this one."""
        return Difference(
            value=-self.value,
            low=None if self.high is None else -self.high,
            high=None if self.low is None else -self.low,
            probes=self.probes,
        )


def error_of_each(differences: int) -> float:
    """The error of each one-sided bound, so that among so many differences one is called real by
    chance in at most 5 % of rankings, however many models really differ (Bonferroni)."""
    return ERROR / (2 * max(1, differences))


def difference(
    one: Values, other: Values, questions: Mapping[Key, str], *, measure: str, error: float
) -> Difference | None:
    """`one` minus `other`, paired by probe; forms and repeats of a question are one value.

    None unless both models were judged at the same probes: values that only one of them lacks are
    not missing by chance.
    """
    judged, others = (
        {key: value for key, value in values.items() if value is not None}
        for values in (one, other)
    )
    if not judged or judged.keys() != others.keys():
        return None
    from pytest_llmdiff.verdicts.estimates import change_estimate, mean_estimate

    keys = list(judged)
    clusters = [questions[key] for key in keys]
    firsts, seconds = [judged[key] for key in keys], [others[key] for key in keys]
    differences = [a - b for a, b in zip(firsts, seconds, strict=True)]
    if not any(differences):
        return Difference(value=0.0, low=None, high=None, probes=len(keys))
    if {*firsts, *seconds} <= {0.0, 1.0}:
        found = change_estimate(
            [value > 0 for value in seconds], [value > 0 for value in firsts], clusters, error=error
        )
    else:
        support = _support(measure, [*firsts, *seconds])
        whole, seen = (high - low for low, high in (support, UNSEEN.get(measure, support)))
        found = mean_estimate(
            differences, clusters, support=(-whole, whole), unseen=(-seen, seen), error=error
        )
    return Difference(
        value=found.value, low=_finite(found.low), high=_finite(found.high), probes=found.n
    )


def mean_bounds(
    values: Values, questions: Mapping[Key, str], measure: str
) -> tuple[float | None, float | None]:
    """The ends of the 90 % interval of a mean; None where there is no bound."""
    from pytest_llmdiff.verdicts.estimates import mean_estimate, rate_estimate

    known = {key: value for key, value in values.items() if value is not None}
    numbers, clusters = list(known.values()), [questions[key] for key in known]
    if {*numbers} <= {0.0, 1.0}:
        found = rate_estimate([value > 0 for value in numbers], clusters)
    else:
        support = _support(measure, numbers)
        found = mean_estimate(
            numbers, clusters, support=support, unseen=UNSEEN.get(measure, support)
        )
    return _finite(found.low), _finite(found.high)


def unbeaten(models: Collection[str], better: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """The models that no other beats: one beats another if it is really better in some measure, and
    not really worse in any (the Pareto front of what can be shown).

    `better` has each pair of models of which the first is really better than the second in some
    measure.
    """
    return tuple(
        model
        for model in models
        if not any((other, model) in better and (model, other) not in better for other in models)
    )


def _support(measure: str, values: Sequence[float]) -> tuple[float, float]:
    """No known end if a value is outside: a scorer of the user's own may have another scale."""
    low, high = SUPPORTS.get(measure, (-math.inf, math.inf))
    within = all(low <= value <= high for value in values)
    return (low, high) if within else (-math.inf, math.inf)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
