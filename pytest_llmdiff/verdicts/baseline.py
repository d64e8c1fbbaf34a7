"""Baselines: how far the base differs from itself (noise), and the limits that follow.

The limits are for the run as a whole: an unchanged model is to break any of them in at most
`CHANCE` of all runs, and each of them has an equal share of that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pytest_llmdiff.data.text.printing import counted

# How likely an unchanged model may break a limit of the run.
CHANCE = 0.05
# Margin that every limit has beyond the noise, in the unit of its measure (nats per token, cosine
# distance, probability, share): smaller changes are rounding on another machine.
LEAST = 1e-3
# The largest values that show how fast the noise of single probes falls off, one per question. They
# are few, so that what lies below the tail does not matter.
TAIL = 10
# A limit for single probes is at most this many times the largest noise. Only tails heavier than
# Cauchy's would need more.
FARTHEST = 20.0
# Upper bound of a set in another run, in widths of its interval above this run's: the normal theory
# of a difference of two estimates, and a term for skewed noise that few questions show. Chosen by
# simulation (benchmarks/calibration.py). Bounds of rates are wide enough for half of it.
SKEWED, SKEWED_RATE = 6.0, 3.0
FEWEST_MOVED = 9  # with fewer the term for skewness grows no more
# Of a measure without an upper end, another run's tail may seem heavy: so many times that widening.
HEAVIER = 2.0
OPEN = 60  # with fewer questions such noise does not show how far it may go

NO_BASELINE = "there is no baseline"

Role = Literal["embedder", "toxicity", "refusal"] | None
Conditions = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of one measure in one test, and the limit: what the noise reached, plus a margin.

    The noise of single probes reaches the largest of their `count` values, that of a set the upper
    bound of its mean (or rate). `moved` of the `questions` had any noise. `chance` is how likely at
    most an unchanged model breaks the limit anywhere in the test; None if too little noise was seen
    to know. `spread` of a set is the standard deviation over its questions. `probes` are digests:
    one for each probe, or one for the whole set.
    """

    limit: float
    reaches: float
    margin: float
    count: int
    questions: int
    moved: int
    chance: float | None = None
    spread: float | None = None
    probes: tuple[str, ...] = ()

    @property
    def lacks(self) -> str:
        """Why the chance is unknown, and what would tell it; empty if it is known."""
        if self.chance is not None:
            return ""
        if self.questions < TAIL:
            had = counted(self.questions, "question")
            return f"its calibration has {had}, and needs at least {TAIL}"
        if self.spread is not None:
            had = counted(self.questions, "question")
            return f"its noise has no upper end, and its calibration has {had}: it takes {OPEN}"
        return (
            f"{self.moved} of {self.questions} questions showed any noise, and it takes {TAIL}: "
            "calibrate with more questions, or judge them as a set"
        )


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A baseline: the conditions of its measurement, and the noise by test and measure."""

    conditions: Conditions
    tests: Mapping[str, Mapping[str, Noise]]
    path: Path | None = field(default=None, compare=False)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """The noise of a measure in a test.

        Raises:
            LookupError: the baseline has none; the text says why.
        """
        found = self.tests.get(test, {}).get(measure)
        if found is None:
            raise LookupError(
                f"{self.path} has no limit for {measure} of {test}: the test is newer, or could "
                "not be calibrated (the calibrating run says why)"
            )
        if probes not in found.probes:
            raise LookupError(
                f"{self.path} was measured on other probes of {test}; calibrate again"
            )
        return found

    def unlike(self, conditions: Conditions) -> list[str]:
        """How the given conditions of a run differ from those in the file."""
        return [
            f"{name} was {_shown(self.conditions.get(name))} and is {_shown(now)}"
            for name, now in conditions.items()
            if self.conditions.get(name) != now
        ]


class Limits:
    """The limits of a run: those of its baseline, if the run has the same conditions."""

    def __init__(self, baseline: Baseline | None, conditions: Callable[[Role], Conditions]) -> None:
        self._baseline = baseline
        self._conditions = cache(conditions)

    def noise(self, test: str, measure: str, probes: str) -> Noise:
        """Like `Baseline.noise`, but raises if models, settings or scorer differ."""
        if self._baseline is None:
            raise LookupError(NO_BASELINE)
        found = self._baseline.noise(test, measure, probes)
        unlike = self._baseline.unlike(self._conditions(role_of(measure)))
        if unlike:
            raise LookupError(
                f"{self._baseline.path} was measured under other conditions: {'; '.join(unlike)}; "
                "calibrate again"
            )
        return found


def role_of(measure: str) -> Role:
    """The role of the scorer that a measure needs, if any."""
    if measure.startswith(("semantic drift", "invariance")):
        return "embedder"
    roles: tuple[Role, ...] = ("toxicity", "refusal")
    return next((role for role in roles if measure.startswith(str(role))), None)


def single_noise(
    values: Sequence[float],
    questions: Sequence[str],
    *,
    share: float,
    sampled: bool,
    margin: float = 0.0,
    probes: Sequence[str] = (),
) -> Noise:
    """The noise of single probes, from their measured differences and the question of each.

    `share` is this limit's part of `CHANCE`, `margin` the user's own, `sampled` says that replies
    are drawn. The largest value of another run exceeds that of this one in half of all cases, and
    the tail of the values tells by how much: for y₁ ≥ … ≥ yᵣ of a tail that falls off like a power
    (Pareto's), log y₁ − log yᵣ estimates how slowly (Hill 1975), and y₁·(y₁/yᵣ)ᵏ is exceeded with
    the probability of `_exceeded`. Tails that fall off faster exceed it more rarely.
    """
    largest: dict[str, float] = {}
    for value, question in zip(values, questions, strict=True):
        largest[question] = max(value, largest.get(question, 0.0))
    tail = sorted(largest.values(), reverse=True)[:TAIL]
    reaches, moved = _digits(tail[0]), sum(value > LEAST for value in largest.values())
    power = _power(share)
    if moved >= TAIL:
        beyond = min(power * math.log(reaches / tail[-1]), math.log(FARTHEST))
        beyond = reaches * math.expm1(beyond)
    else:  # as far as an exponential tail would reach that begins at 0
        beyond = reaches * power
    quiet = moved == 0 and not sampled and len(largest) >= TAIL
    return _noise(
        reaches,
        beyond,
        margin,
        count=len(values),
        questions=len(largest),
        moved=moved,
        chance=share if moved >= TAIL or quiet else None,
        probes=tuple(sorted(set(probes))),
    )


def set_noise(
    low: float,
    high: float,
    *,
    share: float,
    sampled: bool,
    rate: bool,
    moved: int,
    questions: int,
    count: int,
    spread: float,
    heavier: float | None = None,
    margin: float = 0.0,
    probes: str = "",
) -> Noise:
    """The noise of a set, from the interval of its mean or, with `rate`, of a rate or its change.

    `heavier` is by how much another run's bound may be higher if its tail seems heavy, None for
    measures with an upper end; other arguments as above.

    Another run passes if its own upper bound is within the limit, so the limit has to allow for the
    luck of both runs. Greedy replies that did not change in the calibration have no luck.
    """
    from scipy.special import ndtri

    widths = -float(ndtri(share)) / -float(ndtri(CHANCE))
    skewed = SKEWED_RATE if rate else SKEWED
    widths *= 0.5**0.5 + skewed / math.sqrt(max(moved, FEWEST_MOVED))
    beyond = (high - low) * widths + HEAVIER * (heavier or 0.0) if moved or sampled else 0.0
    unknown = sampled and heavier is not None and questions < OPEN
    return _noise(
        high,
        beyond,
        margin,
        count=count,
        questions=questions,
        moved=moved,
        chance=None if unknown else share,
        spread=spread,
        probes=(probes,),
    )


def _noise(reaches: float, beyond: float, margin: float, **facts: Any) -> Noise:
    """The noise with its limit."""
    margin += _digits(beyond) + LEAST
    return Noise(limit=reaches + margin, reaches=reaches, margin=margin, **facts)


@cache
def _power(share: float) -> float:
    """The k whose limit is exceeded with this probability."""
    from scipy.optimize import brentq

    return float(brentq(lambda power: _exceeded(power) - share, 0.0, 1000.0))


def _exceeded(power: float) -> float:
    """How likely at most the largest value of another run exceeds y₁·(y₁/yᵣ)ᵏ, r = `TAIL`.

    With Γᵢ the i-th point of a Poisson process of rate 1, n·P(Y > yᵢ) is Γᵢ for large n, and that
    of the limit Γ₁·(Γ₁/Γᵣ)ᵏ, for any exponent of the tail. Another run exceeds it with at most that
    probability. Γ₁/Γᵣ has the distribution Beta(1, r − 1) and is independent of Γᵣ, whose mean is
    r. So the mean of Γ₁·(Γ₁/Γᵣ)ᵏ is r·Γ(k + 2)·Γ(r)/Γ(k + 1 + r).
    """
    return TAIL * math.exp(
        math.lgamma(power + 2) + math.lgamma(TAIL) - math.lgamma(power + 1 + TAIL)
    )


def _digits(value: float) -> float:
    """Rounded up to four significant digits: short, and the value itself stays within it."""
    rounded = Context(prec=4, rounding=ROUND_CEILING).create_decimal_from_float(value)
    return max(float(rounded), value)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value is not None else "not recorded"
