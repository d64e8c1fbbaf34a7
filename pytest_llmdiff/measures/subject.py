"""What a helper is given: one comparison, or a set of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.verdicts.metric import Metric

Subject = Comparison | Iterable[Comparison]


def members_of(subject: object) -> Iterable[Comparison]:
    """The subject as a set of comparisons.

    Raises:
        ConfigError: it is not a set.
    """
    __tracebackhide__ = True
    if isinstance(subject, Iterable) and not isinstance(subject, (str, bytes, dict)):
        return subject
    raise ConfigError(
        "this helper takes a comparison (the fixture of that name, llm_pair.compare(prompt)) or a "
        "set of them (the fixture comparisons, llm_pair.compare_all(prompts)), not "
        f"{type(subject).__name__}"
    )


def set_of(subject: Subject, helper: str, twin: str) -> Iterable[Comparison]:
    """The subject of a helper that judges sets alone.

    Raises:
        ConfigError: it is a single comparison, or no set.
    """
    __tracebackhide__ = True
    if isinstance(subject, Comparison):
        raise ConfigError(
            f"{helper} judges a set: give it the fixture comparisons, or a list. A single one is "
            f"measured by {twin}(comparison)"
        )
    return members_of(subject)


def measured(metric: Metric, subject: Subject) -> Measurement | list[Measurement]:
    """The measurement of one comparison, or a list with that of each member of a set."""
    if isinstance(subject, Comparison):
        return metric.measure([subject])[0]
    members = members_of(subject)
    if isinstance(members, Sequence):
        return metric.measure(list(members))
    from pytest_llmdiff.verdicts.sets import STREAMED

    rest = iter(members)
    measurements: list[Measurement] = []
    while part := list(islice(rest, STREAMED)):
        measurements += metric.measure(part)
    return measurements
