"""What comparison helpers take, and how their twins measure it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.metrics import Metric

Subject = Comparison | Iterable[Comparison]


def measured(
    metric: Metric, subject: Comparison | Iterable[Comparison]
) -> Measurement | list[Measurement]:
    """What a helper's twin gives: the measurement of a comparison, or of each of a set."""
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    if isinstance(subject, Sequence):
        return metric.measure(list(subject))
    from pytest_llmdiff.sets import STREAMED

    rest, found = iter(subject), []
    while part := list(islice(rest, STREAMED)):
        found += metric.measure(part)
    return found
