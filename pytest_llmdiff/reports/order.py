"""The order of tests and verdicts in reports: the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdiff.data.text.printing import shortened
from pytest_llmdiff.reports.outcomes import KINDS, Kind, kind_of

# Outcomes that need action come first, the most informative ones before the others.
URGENCY: Sequence[Kind] = (
    "regressed", "error", "failed", "not judged", "inconclusive", "skipped", "passed",
)  # fmt: skip
assert set(URGENCY) == set(KINDS)
OPEN: tuple[Kind, ...] = ("regressed", "error", "failed", "not judged", "inconclusive")
PROMPT = 30  # columns of a prompt beside its test
NATS = ("nats", "nats per token")  # units of measures without an end
# Units of which a reply has 0 or 1, or which are counted.
OUTCOMES = ("answer", "findings", "flip", "problems", "refusal", "replies that differ", "reply")
# How far off a single value is by chance, where no calibration says.
# Toxicity is learnt from shares of about ten annotators (Borkan et al. 2019, "Nuanced metrics for
# measuring unintended bias"): at a share of 0.1 its standard error is sqrt(0.1 * 0.9 / 10). So far
# apart are also the embeddings of replies that say the same in other words.
OF_SHARES = 0.1
# An outcome that is misread in one of fifty replies: sqrt(0.02 * 0.98).
OF_OUTCOMES = 0.14
# With 0.1 nats the probability of a usual token changes by a tenth.
OF_NATS = 0.1
ONE_SIDED = 1.645  # standard errors from an estimate to an end of its 90 % interval
_OUTCOMES = ("regressed", "no limit", "not judged", "inconclusive", "passed")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A verdict that regressed, with the row of its test."""

    row: Mapping[str, Any]
    verdict: Mapping[str, Any]


def broken_verdicts(rows: Iterable[Mapping[str, Any]]) -> list[Broken]:
    """The verdicts that regressed, those furthest beyond their limits first."""
    broken = [
        Broken(row=row, verdict=verdict)
        for row in rows
        for verdict in row["verdicts"]
        if verdict["outcome"] == "regressed"
    ]
    return sorted(broken, key=lambda each: -excess(each.verdict))


def worst_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=_place)


def _place(row: dict[str, Any]) -> tuple[int, float]:
    verdict = decisive(row)
    beyond = 0.0 if verdict is None else signed_excess(verdict)
    return URGENCY.index(kind_of(row)), -beyond


def decisive(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The verdict that decides a test: its worst one, or None if it has none."""
    return min(
        row["verdicts"],
        key=lambda verdict: (_OUTCOMES.index(verdict["outcome"]), -signed_excess(verdict)),
        default=None,
    )


def excess(verdict: Mapping[str, Any]) -> float:
    """How far a value is from its limit, in units of the noise of its measure."""
    value, limit = _decided_by(verdict), verdict["limit"]
    if value is None:
        return float("inf")
    if limit is None:
        return 0.0
    return on_scale(abs(value - limit), verdict["unit"]) / noise_of(verdict)


def signed_excess(verdict: Mapping[str, Any]) -> float:
    """The same, negative if the limit is kept."""
    value, limit = _decided_by(verdict), verdict["limit"]
    if value is None or limit is None:
        return excess(verdict)
    above = value > limit
    return excess(verdict) if above == (verdict["bound"] == "at_most") else -excess(verdict)


def _decided_by(verdict: Mapping[str, Any]) -> float | None:
    """The value that is beyond the limit: that of the worst group, where only this is."""
    value: float | None = verdict["value"]
    worst = verdict["details"].get("worst group value")
    if worst is None or value is None or verdict["limit"] is None or value > verdict["limit"]:
        return value
    return float(worst)


def noise_of(verdict: Mapping[str, Any]) -> float:
    """How far a value of this kind is off by chance, on the scale of `on_scale`: of a set the
    standard error of its estimate, else what a calibration saw, else what is usual."""
    usual = _usual_noise(verdict["unit"])
    known, held = verdict["noise"], verdict["set"]
    if held is not None:
        value, limit = verdict["value"], verdict["limit"]
        if value is not None and limit is not None:
            end = held["low" if value > limit else "high"]  # the one on the limit's side
            known = None if end is None else on_scale(abs(value - end), verdict["unit"]) / ONE_SIDED
    # A model whose replies never vary has hardly any noise, but nobody reads a change so small.
    return usual if known is None else max(known, usual / 10)


def _usual_noise(unit: str) -> float:
    if unit in OUTCOMES:
        return OF_OUTCOMES
    return OF_NATS if unit in NATS else OF_SHARES


def on_scale(distance: float, unit: str) -> float:
    """A distance between two values of a measure, comparable with those of other measures.

    Nearly all measures are shares, probabilities or distances between 0 and 1, and count as they
    are. So do numbers of findings. Log-likelihoods have no end: n nats are a factor exp(-n), and
    count as 1 - exp(-n).
    """
    return float(-math.expm1(-distance) if unit in NATS else distance)


def comparison_of(
    row: Mapping[str, Any], verdict: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The comparison that best illustrates a verdict: its own, the worst one of a set, or else the
    only one of the test."""
    comparisons: list[Mapping[str, Any]] = row["comparisons"]
    if verdict is not None:
        probe = verdict["probe"]
        if verdict["set"] and verdict["set"]["worst"]:
            probe = verdict["set"]["worst"][0]["probe"]
        if probe is not None:
            return next((c for c in comparisons if c["probe"] == probe), None)
    return comparisons[0] if len(comparisons) == 1 else None


def named(row: Mapping[str, Any]) -> str:
    """A row's test without its folders, and with its prompt if its id has no word of that."""
    name = short(row["test"])
    if "[probe-" not in name or len(row["comparisons"]) != 1:
        return name
    return f'{name} "{shortened(row["comparisons"][0]["prompt"], PROMPT)}"'


def short(test: str) -> str:
    """A node id without its folders."""
    file, sep, inside = test.partition("::")
    return file.rpartition("/")[2] + sep + inside
