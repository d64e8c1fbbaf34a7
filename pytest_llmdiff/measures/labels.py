"""How a judge agrees with people, and evidence that is corrected by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from pytest_llmdiff.data.comparison import SIDES, Run, Side
from pytest_llmdiff.data.files.label_file import LabelledReply, read_labels
from pytest_llmdiff.data.text.printing import shortened
from pytest_llmdiff.errors import ProbeFileError
from pytest_llmdiff.measures.judged import JudgedRun, judge_of
from pytest_llmdiff.verdicts.prediction_powered import Labels, corrected_change, corrected_rate

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.estimates import Estimate
    from pytest_llmdiff.verdicts.set_verdicts import Evidence


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The labels on each model's replies, with what the judge says of them. Labels that name no
    model count for both. `known` are all of them, with the judge's answer; `unjudged` counts those
    that the judge could not judge. `place` says where they are from."""

    sides: Mapping[Side, Labels]
    known: Sequence[tuple[LabelledReply, bool]]
    unjudged: int
    place: str

    def of(self, side: Side) -> Labels:
        """The labels on one model's replies.

        Raises:
            ProbeFileError: there are none.
        """
        if side not in self.sides:
            raise ProbeFileError(
                f"{self.place}: no reply of the {side} model is labelled that the judge could judge"
            )
        return self.sides[side]

    def correct(self, evidence: Evidence, *, change: bool) -> Evidence:
        """The evidence on the rate of tuned replies that meet the rubric; with `change`, on how far
        the rate of those that do not meet it rose."""
        tuned = self.of("tuned")
        if change:
            base, tuned = _failing(self.of("base")), _failing(tuned)

            def corrected(estimate: Estimate) -> Estimate:
                return corrected_change(estimate, base, tuned)
        else:

            def corrected(estimate: Estimate) -> Estimate:
                return corrected_rate(estimate, tuned)

        return replace(
            evidence,
            estimate=corrected(evidence.estimate),
            highest=corrected(evidence.highest),
            lowest=corrected(evidence.lowest),
            details={**evidence.details, "judge": self.row()},
        )

    def row(self) -> dict[str, Any]:
        every = _labels(self.known)
        kappa, interval = every.kappa
        return {
            "labels": len(every),
            "unjudged": self.unjudged,
            "sensitivity": _row(every.sensitivity),
            "specificity": _row(every.specificity),
            "kappa": [None, *interval] if math.isnan(kappa) else [kappa, *interval],
        }


def _row(estimate: Estimate) -> list[float | None]:
    value = None if math.isnan(estimate.value) else estimate.value
    return [value, estimate.low, estimate.high]


def _failing(labels: Labels) -> Labels:
    return replace(
        labels,
        judge=[not each for each in labels.judge],
        people=[not each for each in labels.people],
    )


def measured_judge(run: Run | None, rubric: str) -> Measured | None:
    """How the run's judge agrees with the labels for a rubric; None if no labels are given.

    Raises:
        ProbeFileError: the file of labels is faulty, or has none for the rubric or for a model.
        ConfigError: there is no judge.
    """
    if run is None or run.settings.labels is None:
        return None
    held = [label for label in read_labels(run.settings.labels) if label.rubric.strip() == rubric]
    if not held:
        raise ProbeFileError(
            f"{run.settings.labels}: no labelled reply has the rubric {shortened(rubric)!r}, "
            "which has to be the same text as in the test"
        )
    said = _judged(run, rubric, held)
    known = [(label, value == 1) for label, value in zip(held, said, strict=True)
             if value is not None]  # fmt: skip
    found: dict[Side, Labels] = {}
    for side in SIDES:
        if own := [each for each in known if each[0].side in (None, side)]:
            found[side] = _labels(own)
    place = f"{run.settings.labels}, rubric {shortened(rubric)!r}"
    return Measured(sides=found, known=known, unjudged=len(held) - len(known), place=place)


def _judged(run: Run, rubric: str, held: Sequence[LabelledReply]) -> list[float | None]:
    judge = judge_of(run, rubric, "meets")
    inputs: list[tuple[str, ...]] = [(label.prompt, label.reply) for label in held]
    scores = cast("JudgedRun", run).scoring.scores("judge", judge, inputs, lambda: inputs)
    return [score.value for score in scores]


def _labels(known: Sequence[tuple[LabelledReply, bool]]) -> Labels:
    return Labels(
        judge=[said for _, said in known],
        people=[label.label for label, _ in known],
        clusters=[label.prompt for label, _ in known],
    )
