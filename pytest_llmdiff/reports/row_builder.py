"""Builds the row of one test for the reports: everything, or the worst of it with a count."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.explain import load_kinds
from pytest_llmdiff.reports.rows import add_explanation, comparison_row, verdict_row
from pytest_llmdiff.verdicts.verdict import CALIBRATED, OWN, Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.values import Leak
    from pytest_llmdiff.verdicts.set_verdicts import Evidence
    from pytest_llmdiff.verdicts.sets import Sample

KEPT = 200  # comparisons of a test, and verdicts of each of its measures
SEVERITY = {"passed": 0, "no limit": 1, "inconclusive": 2, "not judged": 3, "regressed": 4}


class RowBuilder:
    """Builds the row of one test, in bounded memory however many prompts it compares.

    It keeps the worst verdicts of each measure: those that failed, then those nearest to their
    limit. It keeps the first comparisons, and those of the kept verdicts. With `calibrating` it
    also keeps what limits are made of: the values of single comparisons with their probes, and in
    how many questions of a set anything moved; and what fails whatever the limits are. With
    `all_comparisons` it drops no comparison.
    """

    def __init__(self, *, calibrating: bool = False, all_comparisons: bool = False) -> None:
        self._calibrating = calibrating
        self._most = math.inf if all_comparisons else KEPT  # comparisons
        self._compared = self._same = self._judged = 0
        self._shown: list[dict[str, Any]] = []
        self._explained: list[tuple[list[Message], Explanation]] = []
        self._attributed: list[tuple[Comparison, Attribution]] = []
        self._explored: list[dict[str, Any]] = []
        self._worst: dict[str, list[tuple[float, float, int, _Judged]]] = {}
        # Eight bytes a value, for the median of all.
        self._values: dict[str, array[float]] = {}
        self._singles: dict[str, dict[str, list[Any]]] = {}
        self._sets: dict[str, dict[str, Any]] = {}
        self._needed: set[str] = set()
        self._failing: dict[str, list[str]] = {}
        self._temperatures: set[float | None] = set()
        self._regressed: dict[str, int] = {}

    def show(self, comparison: Comparison, leak: Callable[[], Leak | None]) -> None:
        self._compared += 1
        # Equal replies are the goal of parity tests, and say nothing about the tuning.
        tuning = comparison.sides == ("base", "tuned")
        self._same += tuning and comparison.base.text == comparison.tuned.text
        if self._calibrating:
            self._temperatures.add(comparison.probe.generation.get("temperature"))
        if len(self._shown) < self._most:
            self._shown.append(comparison_row(comparison, leak()))

    def explain(self, comparison: Comparison, explanation: Explanation) -> None:
        """Keep what explains a comparison, for its row."""
        if len(self._explained) < KEPT:
            self._explained.append((list(comparison.probe.messages), explanation))

    def attribute(self, comparison: Comparison, found: Attribution) -> None:
        """Keep an attribution that the test asked for, for the row of its comparison."""
        if len(self._attributed) < KEPT:
            self._attributed.append((comparison, found))

    def explore(self, found: dict[str, Any]) -> None:
        """Keep an exploration that the test asked for, in plain JSON."""
        self._explored.append(found)

    def judge(
        self, comparison: Comparison | None, verdict: Verdict, sample: Sample | None = None
    ) -> bool:
        """Keep a verdict. False if its measure has too many to list single values."""
        name, value = verdict.measurement.name, verdict.measurement.value
        self._judged += 1
        regressed = verdict.outcome == "regressed"
        self._regressed[name] = self._regressed.get(name, 0) + regressed
        values = self._values.setdefault(name, array("d"))
        values.append(value)
        if self._calibrating and (comparison is not None or sample is not None):
            self._keep_noise(comparison, verdict)
            self._keep_failing(comparison, verdict)
        judged = _Judged(comparison, verdict, sample)
        place = SEVERITY[verdict.outcome], _excess(verdict), -self._judged
        worst = self._worst.setdefault(name, [])
        if len(worst) < KEPT:
            heapq.heappush(worst, (*place, judged))
        elif place > worst[0][:3]:
            heapq.heapreplace(worst, (*place, judged))
        return not self._many(name)

    def _keep_noise(self, comparison: Comparison | None, verdict: Verdict) -> None:
        if verdict.source == OWN:
            return  # no baseline changes that limit
        evidence = verdict.evidence
        name = verdict.measurement.name if evidence is None else evidence.label
        if verdict.source == CALIBRATED:
            self._needed.add(name)
        if evidence is not None:
            why = verdict.why or _unjudged(evidence)
            self._sets[name] = {
                "moved": evidence.moved, "rate": evidence.rate, "why": why,
                "heavier": evidence.estimate.heavier,
            }  # fmt: skip
        elif comparison is not None:
            kept = self._singles.setdefault(
                name, {"values": [], "probes": [], "questions": [], "why": []}
            )
            kept["why"] = kept["why"] or [verdict.why] * bool(verdict.why)
            kept["values"].append(verdict.measurement.value)
            kept["probes"].append(comparison.probe.digest)
            kept["questions"].append(comparison.probe.question)

    def _keep_failing(self, comparison: Comparison | None, verdict: Verdict) -> None:
        """Keep what fails with an unchanged model, whatever the baseline says: replies that nobody
        can judge, and those that a helper's own limit forbids."""
        if verdict.evidence is not None or verdict.outcome not in ("regressed", "not judged"):
            return
        m = verdict.measurement
        whys = [m.unsupported or "", *m.details.get("problems", ())]
        if comparison is not None:  # else each problem names its probe
            whys = [f"{comparison.probe.id}: {' '.join(filter(None, whys))}"]
        self._failing.setdefault(m.name, []).extend(filter(None, whys))

    @property
    def inconclusive(self) -> list[str]:
        """The measures whose set was too small for a verdict."""
        judged = [entry[3].verdict for worst in self._worst.values() for entry in worst]
        return [v.measurement.name for v in judged if v.outcome == "inconclusive"]

    def row(self) -> dict[str, Any]:
        """The test's comparisons and verdicts as plain JSON, in their order."""
        kept = sorted((entry for worst in self._worst.values() for entry in worst),
                      key=lambda entry: -entry[2])  # fmt: skip
        comparisons = list(self._shown)
        known = {row["probe"] for row in comparisons}
        # With fewer comparisons than the limit, all of them are there already.
        for comparison in self._judged_comparisons(kept) if self._compared > self._most else ():
            if comparison.probe.id not in known:
                known.add(comparison.probe.id)
                comparisons.append(comparison_row(comparison))
        for messages, explanation in self._explained:
            for row in comparisons:
                if row["messages"] == messages:
                    add_explanation(row, explanation)
        for row in comparisons:
            asked_for = [
                found
                for comparison, found in self._attributed
                if row["messages"] == list(comparison.probe.messages)
                and row["sides"] == list(comparison.sides)
            ]
            if asked_for:
                row |= load_kinds({"attributions"})["attributions"].row(asked_for)
        return {
            "comparisons": comparisons,
            "compared": self._compared,
            "same": self._same,
            "verdicts": [
                verdict_row(
                    judged.comparison, judged.verdict, judged.worst, judged.probes, judged.members
                )
                for *_, judged in kept
            ],
            "many": {name: self._figures(name) for name in self._worst if self._many(name)},
            "explorations": self._explored,
            "noise": self._noise() if self._calibrating else {},
        }

    def _noise(self) -> dict[str, Any]:
        """By measure, and the temperatures of the replies; None is that of the run."""
        return {
            "singles": self._singles,
            "sets": self._sets,
            "needed": sorted(self._needed),
            "failing": {
                name: {"count": len(whys), "first": whys[0]}
                for name, whys in self._failing.items()
                if whys
            },
            "temperatures": list(self._temperatures),
        }

    @staticmethod
    def _judged_comparisons(
        kept: Sequence[tuple[float, float, int, _Judged]],
    ) -> Iterator[Comparison]:
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


def _unjudged(evidence: Evidence) -> str:
    """Why a set has no limit, if some of its members could not be judged."""
    if not evidence.missing:
        return ""
    reason = max(evidence.unsupported, key=evidence.unsupported.__getitem__)
    if not evidence.estimate.n:
        return reason
    return f"{evidence.missing} of its probes could not be judged: {reason}"


class _Judged:
    def __init__(
        self,
        comparison: Comparison | None,
        verdict: Verdict,
        sample: Sample | None,
    ) -> None:
        self.comparison = comparison
        self.verdict = verdict
        # Not the sample itself, which holds every value of the set.
        self.worst = () if sample is None else sample.worst
        self.probes = None if sample is None else sample.digest
        members = () if sample is None else zip(sample.names, sample.values, strict=False)
        self.members = tuple(members)  # the first ones


def _excess(verdict: Verdict) -> float:
    """How far a value is beyond its limit; negative below it."""
    m = verdict.measurement
    if m.limit is None or math.isnan(m.value):
        return math.inf
    return m.value - m.limit if verdict.bound == "at_most" else m.limit - m.value
