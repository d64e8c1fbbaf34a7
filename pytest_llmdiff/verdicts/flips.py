"""How many outcomes changed from base to tuned model, and whether chance explains their balance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from pytest_llmdiff.errors import LLMDiffError


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Probes whose outcome changed, and the two-sided p-value of "base and tuned model are alike".

    If they are alike, all outcomes of a question might as well have been exchanged between them:
    its net change (gained - lost) has either sign with the same probability. `p_value` is the
    probability that random signs give a total at least as far from 0 (Fisher 1935, The Design of
    Experiments, section 21). It is exact for any size and any likeness within questions; with one
    probe per question it is McNemar's (1947) exact test.
    """

    gained: int
    lost: int
    unchanged: int
    p_value: float


def flips(
    base: Sequence[bool],
    tuned: Sequence[bool],
    clusters: Sequence[Hashable | None] | None = None,
) -> Flips:
    """The outcomes that changed. `clusters` names the question of each probe (None: its own).

    Raises `LLMDiffError` if the lengths differ.
    """
    if len(base) != len(tuned):
        raise LLMDiffError(f"{len(base)} outcomes of the base, but {len(tuned)} of the tuned model")
    if clusters is not None and len(clusters) != len(base):
        raise LLMDiffError(f"{len(base)} outcomes in {len(clusters)} clusters: each needs one")
    names = [None] * len(base) if clusters is None else clusters
    gained = lost = 0
    net: Counter[Hashable] = Counter()
    for place, (before, after, name) in enumerate(zip(base, tuned, names, strict=True)):
        if bool(before) != bool(after):
            gained, lost = gained + bool(after), lost + bool(before)
            net[("alone", place) if name is None else ("cluster", name)] += 1 if after else -1
    return Flips(
        gained=gained,
        lost=lost,
        unchanged=len(base) - gained - lost,
        p_value=sign_flip_p(list(net.values())),
    )


def sign_flip_p(changes: Sequence[int]) -> float:
    """The share of all ways to give the changes signs whose total is as far from 0 as theirs.

    All ways are counted, by the sum of those that get a plus: size by size, the distribution of the
    sums so far is combined with that of the number of changes of this size. Sums above that of the
    rarer sign are not needed, so the work is at most that sum times the number of changes.
    """
    import numpy as np
    from scipy.special import gammaln

    rarer = min(sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0))
    chances = np.zeros(rarer + 1)
    chances[0] = 1.0
    for size, count in Counter(abs(c) for c in changes if c).most_common():
        chosen = np.arange(min(count, rarer // size) + 1)
        ways = gammaln(count + 1) - gammaln(chosen + 1) - gammaln(count - chosen + 1)
        shares = np.exp(ways - count * math.log(2))
        before, chances = chances, np.zeros(rarer + 1)
        if before[1:].any():
            for number, share in zip(chosen, shares, strict=True):
                chances[number * size :] += share * before[: rarer + 1 - number * size]
        else:  # the first and largest group
            chances[::size][: len(shares)] = before[0] * shares
    return min(1.0, 2 * math.fsum(chances))
