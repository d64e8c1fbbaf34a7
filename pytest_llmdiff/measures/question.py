"""What a helper asks of its subject, and the evidence that a set gives on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.comparison import Run
from pytest_llmdiff.verdicts.verdict import GIVEN
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.misclassification import Labelled
    from pytest_llmdiff.verdicts.paired import Named
    from pytest_llmdiff.verdicts.set_verdicts import Evidence
    from pytest_llmdiff.verdicts.sets import Sample


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to judge of a metric's measurements, and the limits, which come from `source`.

    For a set, the mean of `view` is judged. With `over`, it is the share of members whose view is
    above that value; with `base` as well, the rise of that share over the base's. With `opposite`,
    it is the share of members that moved (`view` is 1), tested against the share that moved the
    other way (`opposite` is 1); with `among` as well, only members whose `among` is 1 count.
    With `named`, it is the level of `view` or, with `base` as well, its paired change
    (`verdicts/paired.py`); a failure then names the members for which `against` is above 0, the
    highest first. `told` adds the mean of each of its views to the details of a verdict on a set,
    and `corrected` corrects the evidence by what labels show of a judge. `known` is added to those
    details. `counted` adds for how many members each of its views is 1, and with `problems` a
    failure says what the metric finds wrong with the worst of them. Each of `groups`, by the
    positions of its members, is judged by itself as well: none may be beyond at_most
    (`verdicts/groups.py`).
    `errors` gives, for a run, the errors of the detector that counted; the bounds then allow for
    them, where `differs` is 1. `packaged` says that the probes are those of a ready-made suite.

    `change` is asked instead if the limit comes from a baseline: of a level, such as the toxicity
    of a reply, it is the paired change from the base's, of which an unchanged reply has none.
    """

    view: View
    at_most: float | None = None
    at_least: float | None = None
    over: float | None = None
    base: View | None = None
    opposite: View | None = None
    among: View | None = None
    named: Named | None = None
    against: View | None = None
    told: Mapping[str, View] = field(default_factory=dict)
    corrected: Callable[[Evidence, Run | None], Evidence] | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    counted: Mapping[str, View] = field(default_factory=dict)
    problems: bool = False
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    errors: Callable[[Run | None], Labelled | None] | None = None
    differs: View | None = None
    source: str = GIVEN
    packaged: bool = False
    change: Question | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """All views that it needs of a set."""
        others = (
            self.base, self.opposite, self.among, self.against, self.differs, *self.told.values(),
            *self.counted.values(),
        )  # fmt: skip
        changed = () if self.change is None else self.change.views
        return (self.view, *(view for view in others if view is not None), *changed)

    @property
    def limited(self) -> bool:
        """Whether the test gives a limit. If not, the limit comes from the baseline."""
        return self.at_most is not None or self.at_least is not None


def evidence_of(question: Question, samples: Mapping[View, Sample], scope: str) -> Evidence:
    """The evidence of a set's samples on a question, by view."""
    # Imported here, since single comparisons need no statistics.
    from pytest_llmdiff.verdicts.evidence import (
        change_evidence,
        mean_evidence,
        moved_evidence,
        rate_evidence,
        share_of,
    )
    from pytest_llmdiff.verdicts.paired import level_evidence, mean_of, paired_evidence

    sample = samples[question.view]
    if question.named is not None:
        if question.base is None:
            evidence = level_evidence(sample, question.named, scope=scope)
        else:
            base = samples[question.base]
            evidence = paired_evidence(base, sample, question.named, scope=scope)
        if question.corrected is not None:
            evidence = question.corrected(evidence, sample.run)
        evidence = replace(evidence, over=0.0, blames=question.against is not None)
    elif question.opposite is not None:
        among = None if question.among is None else samples[question.among]
        evidence = moved_evidence(sample, samples[question.opposite], among, scope=scope)
        if question.errors is not None and question.differs is not None:
            from pytest_llmdiff.verdicts.misclassification import widened

            differing = share_of(samples[question.differs], among)
            evidence = widened(evidence, question.errors(sample.run), differing)
    elif question.over is None:
        evidence = mean_evidence(sample, scope=scope)
    elif question.base is None:
        evidence = rate_evidence(sample, over=question.over, scope=scope)
    else:
        base = samples[question.base]
        evidence = change_evidence(base, sample, over=question.over, scope=scope)
    told = {name: mean_of(samples[view]) for name, view in question.told.items()}
    details = {**evidence.details, **told, **question.known}
    if question.counted:
        counts = {name: samples[view].values.count(1.0) for name, view in question.counted.items()}
        details["counts"] = {name: count for name, count in counts.items() if count}
    if sample.unanswered:
        details["notes"] = [
            f"{len(sample.unanswered)} of {len(sample.values)} probes of a set were not answered, "
            f"and count as the worst that they can be: {sample.unanswered[0]}"
        ]
    return replace(evidence, details=details)
