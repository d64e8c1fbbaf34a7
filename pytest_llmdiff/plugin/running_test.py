"""The test that runs now: what it compares and judges is kept for the reports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.plugin.fixtures import uses_models
from pytest_llmdiff.plugin.marker import case_of
from pytest_llmdiff.reports.row_builder import RowBuilder

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Comparison
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.neighbours import Neighbours
    from pytest_llmdiff.verdicts.sets import Sample
    from pytest_llmdiff.verdicts.verdict import Verdict

PROPERTY = "llmdiff "  # what the names of a test's properties begin with


class RunningTest:
    """One try of a test. Plugins that retry a failed test begin a new one."""

    def __init__(self, item: pytest.Item, settings: Settings) -> None:
        self.item = item
        item.user_properties[:] = [
            entry for entry in item.user_properties if not entry[0].startswith(PROPERTY)
        ]
        self.uses_models = uses_models(item)
        self.kept = RowBuilder(calibrating=settings.calibrating, all_comparisons=settings.accept)

    @property
    def case(self) -> str:
        return case_of(self.item)

    def show(self, comparison: Comparison, near: Neighbours | None) -> None:
        """Keep a comparison that the test received."""
        self.kept.show(
            comparison, lambda: None if near is None else near.same(comparison.probe.messages)
        )

    def explained(self, comparison: Comparison, explanation: Explanation) -> None:
        """Keep what a failure text says to explain a comparison."""
        self.kept.explain(comparison, explanation)

    def record(
        self, comparison: Comparison | None, verdict: Verdict, sample: Sample | None = None
    ) -> None:
        """Keep a verdict; that on a set with its members."""
        m = verdict.measurement
        listed = self.kept.judge(comparison, verdict, sample)
        if listed and math.isfinite(m.value):
            self.item.user_properties.append((f"{PROPERTY}{m.name}", m.value))
