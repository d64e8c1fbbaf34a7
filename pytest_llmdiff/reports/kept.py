"""What a test leaves for the reports: all of it, or the worst of it and how much there was."""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.reports.rows import comparison_row, take_explanation, verdict_row
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.values import Leak
    from pytest_llmdiff.verdicts.sets import Sample

# Comparisons of a test that are kept, and verdicts of each measure in it.
KEPT = 200
BADNESS = {"passed": 0, "no limit": 1, "inconclusive": 2, "not judged": 3, "regressed": 4}


class Kept:
    """The facts of one test, in bounded memory however many prompts it compares.

    Of the comparisons the first ones are kept, and those of the kept verdicts. Of the verdicts the
    worst ones of each measure are: those that failed, then those nearest to their limit. With
    `all_values`, the values of single comparisons are kept too, and the digests of their probes;
    with `all_comparisons` no comparison is left out.
    """

    def __init__(self, *, all_values: bool = False, all_comparisons: bool = False) -> None:
        self._all = all_values
        self._showing = math.inf if all_comparisons else KEPT
        self._compared = self._same = self._judged = 0
        self._shown: list[dict[str, Any]] = []
        self._explained: list[tuple[list[Message], Explanation]] = []
        self._worst: dict[str, list[tuple[float, float, int, _Judged]]] = {}
        # Eight bytes a value, so that the median of all can be told.
        self._values: dict[str, array[float]] = {}
        self._digests: dict[str, list[str]] = {}
        self._regressed: Counter[str] = Counter()

    def show(self, comparison: Comparison, leak: Callable[[], Leak | None]) -> None:
        self._compared += 1
        # Of parity it is what is hoped for, and tells nothing of the tuning.
        tuning = comparison.sides == ("base", "tuned")
        self._same += tuning and comparison.base.text == comparison.tuned.text
        if len(self._shown) < self._showing:
            self._shown.append(comparison_row(comparison, leak()))

    def explain(self, comparison: Comparison, explanation: Explanation) -> None:
        """Keep what a failure text tells of the training data."""
        if len(self._explained) < KEPT:
            self._explained.append((list(comparison.probe.messages), explanation))

    def judge(
        self, comparison: Comparison | None, verdict: Verdict, sample: Sample | None = None
    ) -> bool:
        """Keep a verdict. False where its measure has so many that single values are not listed."""
        name, value = verdict.measurement.name, verdict.measurement.value
        self._judged += 1
        self._regressed[name] += verdict.outcome == "regressed"
        values = self._values.setdefault(name, array("d"))
        values.append(value)
        if self._all and comparison is not None:
            self._digests.setdefault(name, []).append(comparison.probe.digest)
        judged = _Judged(comparison, verdict, sample)
        place = BADNESS[verdict.outcome], _excess(verdict), -self._judged
        worst = self._worst.setdefault(name, [])
        if len(worst) < KEPT:
            heapq.heappush(worst, (*place, judged))
        elif place > worst[0][:3]:
            heapq.heapreplace(worst, (*place, judged))
        return not self._many(name)

    @property
    def inconclusive(self) -> list[str]:
        """The names of what a set was too small to tell."""
        judged = [entry[3].verdict for worst in self._worst.values() for entry in worst]
        return [v.measurement.name for v in judged if v.outcome == "inconclusive"]

    def row(self) -> dict[str, Any]:
        """The facts as plain JSON, in the order in which they came."""
        kept = sorted((entry for worst in self._worst.values() for entry in worst),
                      key=lambda entry: -entry[2])  # fmt: skip
        comparisons = list(self._shown)
        known = {row["probe"] for row in comparisons}
        # Below the limit of what is shown every comparison of the test is there already.
        for comparison in self._judged_ones(kept) if self._compared > self._showing else ():
            if comparison.probe.id not in known:
                known.add(comparison.probe.id)
                comparisons.append(comparison_row(comparison))
        for messages, explanation in self._explained:
            for row in comparisons:
                if row["messages"] == messages:
                    take_explanation(row, explanation)
        return {
            "comparisons": comparisons,
            "compared": self._compared,
            "same": self._same,
            "verdicts": [
                verdict_row(judged.comparison, judged.verdict, judged.worst, judged.probes)
                for *_, judged in kept
            ],
            "many": {name: self._figures(name) for name in self._worst if self._many(name)},
            "values": {
                name: {"values": list(self._values[name]), "probes": digests}
                for name, digests in self._digests.items()
            },
        }

    @staticmethod
    def _judged_ones(kept: Sequence[tuple[float, float, int, _Judged]]) -> Iterator[Comparison]:
        for *_, judged in kept:
            if judged.comparison is not None:
                yield judged.comparison
            yield from (comparison for _, comparison in judged.worst)

    def _many(self, name: str) -> bool:
        return len(self._values[name]) > KEPT

    def _figures(self, name: str) -> dict[str, Any]:
        from statistics import median

        finite = [value for value in self._values[name] if math.isfinite(value)]
        return {
            "count": len(self._values[name]),
            "regressed": self._regressed[name],
            "median": median(finite) if finite else None,
            "largest": max(finite, default=None),
            "unit": self._worst[name][0][3].verdict.measurement.unit,
        }


class _Judged:
    def __init__(
        self,
        comparison: Comparison | None,
        verdict: Verdict,
        sample: Sample | None,
    ) -> None:
        self.comparison = comparison
        self.verdict = verdict
        # Not the sample itself, which has every value of the set.
        self.worst = () if sample is None else sample.worst
        self.probes = None if sample is None else sample.digest


def _excess(verdict: Verdict) -> float:
    """How far a value is beyond its limit; negative within it."""
    m = verdict.measurement
    if m.limit is None or math.isnan(m.value):
        return math.inf
    return m.value - m.limit if verdict.bound == "at_most" else m.limit - m.value
