"""Measures: each turns comparisons into measurements, and higher is always worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_llmdiff.comparison import Comparison, Measurement


class Metric(Protocol):
    """Anything that measures comparisons."""

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        """One measurement per comparison, in order."""
