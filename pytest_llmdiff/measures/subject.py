"""What a helper is given: one comparison, or a set of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.verdicts.metric import Metric

Subject = Comparison | Iterable[Comparison]


def members_of(subject: object) -> Iterable[Comparison]:
    """A subject as a set of comparisons.

    Raises:
        ConfigError: it is none.
    """
    __tracebackhide__ = True
    if isinstance(subject, Iterable) and not isinstance(subject, (str, bytes, dict)):
        return subject
    raise ConfigError(
        "this helper takes a comparison (the fixture of that name, llm_pair.compare(prompt)) or a "
        "set of them (the fixture comparisons, llm_pair.compare_all(prompts)), not "
        f"{type(subject).__name__}"
    )


def measured(
    metric: Metric, subject: Comparison | Iterable[Comparison]
) -> Measurement | list[Measurement]:
    """What a helper's twin gives: the measurement of a comparison, or of each of a set."""
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    if isinstance(subject, Sequence):
        return metric.measure(list(subject))
    from pytest_llmdiff.verdicts.sets import STREAMED

    rest, found = iter(subject), []
    while part := list(islice(rest, STREAMED)):
        found += metric.measure(part)
    return found
