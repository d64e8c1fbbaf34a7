"""One value per question: the forms and repeats of a question are not independent evidence."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llmdiff.errors import LLMDiffError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Clusters = Sequence[Hashable | None]

# So many questions of equal size must a set be worth, or half of those it has: in others a few
# questions hold nearly all probes, and the mean over probes is theirs.
MIN_QUESTIONS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """The mean value of each question, sorted, and the mean over all probes.

    `even` is the number of questions of equal size that the set is worth (Kish 1965): their number
    if all have equally many probes.
    """

    values: Floats
    over_probes: float
    even: float

    @property
    def lopsided(self) -> bool:
        """Whether a few of the questions hold nearly all probes."""
        return self.lopsided_at(1.0)

    def lopsided_at(self, times: float) -> bool:
        """The same for a set with so many times the questions."""
        return self.even * times < min(MIN_QUESTIONS, len(self.values) * times / 2)


def units_of(values: Floats, clusters: Clusters | None) -> Units:
    """The units of a set. A value without a cluster (None) is one of its own.

    Sums are taken in the order of the values, so that the order of the input has no effect.

    Raises:
        LLMDiffError: there is not one cluster for each value.
    """
    import numpy as np

    order = np.argsort(values, kind="stable")
    ordered = values[order]
    over_probes = math.fsum(ordered) / len(ordered)
    if clusters is None:
        return Units(values=ordered, over_probes=over_probes, even=float(len(ordered)))
    codes = _codes(len(values), clusters)[order]
    sizes = np.bincount(codes).astype(np.float64)
    totals = np.bincount(codes, weights=ordered)
    # The sum of equal values may differ from their product by rounding.
    means = np.clip(totals / sizes, *_ends_by(codes, ordered, len(sizes)))
    return Units(
        values=np.sort(means),
        over_probes=over_probes,
        even=float(sizes.sum() ** 2 / (sizes**2).sum()),
    )


def _ends_by(codes: NDArray[np.intp], ordered: Floats, count: int) -> tuple[Floats, Floats]:
    """The least and the largest value of each unit."""
    import numpy as np

    least, largest = np.empty(count), np.empty(count)
    largest[codes] = ordered  # the last one stays
    least[codes[::-1]] = ordered[::-1]
    return least, largest


def _codes(n: int, clusters: Clusters) -> NDArray[np.intp]:
    """The number of each value's unit."""
    import numpy as np

    if len(clusters) != n:
        raise LLMDiffError(
            f"{n} values in {len(clusters)} clusters: each value needs one (or None)"
        )
    numbers: dict[Hashable, int] = {}
    keys = (("alone", i) if name is None else ("cluster", name) for i, name in enumerate(clusters))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)
