"""The `Metric` protocol: turns comparisons into measurements; higher is always worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.errors import ConfigError


class Metric(Protocol):
    """Anything that measures comparisons.

    One that measures several together, such as a pair, may have `shown(comparison, measurement)`:
    the one of them that reports show.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        """One measurement per comparison, in order."""


def check_answered(metric: Metric, comparisons: Sequence[Comparison]) -> None:
    """Check that a metric of replies gets no comparisons of texts that were only read: both replies
    are empty there, and would seem equal.

    Raises:
        ConfigError: a comparison has no replies.
    """
    if getattr(metric, "reads", False):
        return
    for comparison in comparisons:
        if comparison.given is not None:
            raise ConfigError(
                f"{comparison.probe.id} was read and not answered: only assert_retention and "
                "assert_unbiased judge texts that are read; the other helpers judge replies"
            )
