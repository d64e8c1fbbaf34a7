"""How likely both models find the given texts of comparisons, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from pytest_llmdiff.comparison import Comparison, PassagesOf
from pytest_llmdiff.errors import CapabilityError
from pytest_llmdiff.passages import Likelihood

NO_RUN = "a likelihood needs both models: it is there for comparisons made by a fixture"


@dataclass(frozen=True, kw_only=True)
class Told:
    """The likelihoods of one comparison's texts, in order; `unsupported` says why there are none
    where texts were asked for."""

    base: tuple[Likelihood, ...] = ()
    tuned: tuple[Likelihood, ...] = ()
    unsupported: str | None = None


def likelihoods_of(comparisons: Sequence[Comparison], passages_of: PassagesOf) -> list[Told]:
    """What both models make of the texts of each comparison."""
    counts = [len(passages_of(comparison)) for comparison in comparisons]
    if not any(counts):
        return [Told() for _ in comparisons]
    run = comparisons[0].run
    if run is None:
        return [_untold(count, NO_RUN) for count in counts]
    try:
        sides = [iter(run.likelihoods(s, comparisons, passages_of)) for s in ("base", "tuned")]
    except CapabilityError as error:
        return [_untold(count, str(error)) for count in counts]
    found = []
    for count in counts:
        found.append(_told(*(list(islice(side, count)) for side in sides)))
    return found


def _told(base: list[Likelihood | str], tuned: list[Likelihood | str]) -> Told:
    reasons = [why for why in (*base, *tuned) if isinstance(why, str)]
    if reasons:
        return Told(unsupported=reasons[0])
    known = (tuple(x for x in side if not isinstance(x, str)) for side in (base, tuned))
    return Told(base=next(known), tuned=next(known))


def _untold(count: int, reason: str) -> Told:
    return Told(unsupported=reason if count else None)
