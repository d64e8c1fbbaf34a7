"""What every helper does: measures its subject, judges it against the limits, and reports that."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Measurement, Run, against_accepted
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.raising import report, report_set
from pytest_llmdiff.measures.subject import Subject, members_of
from pytest_llmdiff.verdicts.metric import Metric, check_answered
from pytest_llmdiff.verdicts.verdict import (
    BY_ACCEPTANCE,
    CALIBRATED,
    GIVEN,
    OWN,
    Verdict,
    judge,
    judge_set,
)
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.baseline import Noise
    from pytest_llmdiff.verdicts.misclassification import Labelled
    from pytest_llmdiff.verdicts.paired import Named
    from pytest_llmdiff.verdicts.sets import Sample
    from pytest_llmdiff.verdicts.verdict import Evidence


class BaselineRun(Run, Protocol):
    """A run that may have a baseline."""

    def noise(self, measure: str, probes: str) -> Noise:
        """The noise of a measure in the running test. Raises LookupError if none is known."""


# An accepted value may be measured again in batches of another composition: up to this factor it
# counts as the same value.
ROUNDING = 1.01
PROBLEMS = 20  # members of a set that a failure names


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to judge of a metric's measurements, and the limits, which come from `source`.

    For a set, the mean of `view` is judged. With `over`, it is the share of members whose view is
    above that value; with `base` as well, the rise of that share over the base's. With `opposite`,
    it is the share of members that moved (`view` is 1), tested against the share that moved the
    other way (`opposite` is 1); with `among` as well, only members whose `among` is 1 count.
    With `named`, it is the level of `view` or, with `base` as well, its paired change
    (`verdicts/paired.py`); a failure then names the members for which `against` is above 0, the
    highest first. `known` is added to the details of a verdict on a set. Each of `groups`, by the
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
    known: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    errors: Callable[[Run | None], Labelled | None] | None = None
    differs: View | None = None
    source: str = GIVEN
    packaged: bool = False
    change: Question | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """All views that it needs of a set."""
        others = (self.base, self.opposite, self.among, self.against, self.differs)
        changed = () if self.change is None else self.change.views
        return (self.view, *(view for view in others if view is not None), *changed)

    @property
    def limited(self) -> bool:
        """Whether the test gives a limit. If not, the limit comes from the baseline."""
        return self.at_most is not None or self.at_least is not None


def settle(subject: Subject, metric: Metric, questions: Sequence[Question]) -> None:
    """Measures the subject, records the verdicts for the reports, and raises if one did not pass.

    Raises:
        AssertionError: a limit is exceeded or missing, or the subject cannot be judged, or
            (unless `llmdiff_inconclusive` says otherwise) a set is too small to decide.
        ConfigError: the subject is neither a comparison nor a set of them, the set is empty, or a
            limit is not a finite number.
    """
    __tracebackhide__ = True
    for question in questions:
        for limit in (question.at_most, question.at_least, question.over):
            _check_limit(limit)
    if isinstance(subject, Comparison):
        _settle_one(subject, metric, questions)
    else:
        _settle_set(subject, metric, questions)


def settle_problems(subject: Subject, metric: Metric) -> None:
    """Like `settle`, for a metric that counts problems: no member of a set may have one."""
    __tracebackhide__ = True
    question = Question(view=View(support=(0.0, float("inf"))), at_most=0, source=OWN)
    if isinstance(subject, Comparison):
        _settle_one(subject, metric, [question])
    else:
        _settle_problems_of_set(subject, metric, question)


def _check_limit(limit: object) -> None:
    """Raises before anything is measured."""
    __tracebackhide__ = True
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, Real) or not math.isfinite(limit):
        raise ConfigError(
            f"a limit is a finite number, not {reprlib.repr(limit)}: give one, such as 0.3"
        )


def _asked(questions: Sequence[Question], run: Run | None) -> list[Question]:
    """What this run judges: changes where the limits are a baseline's. A calibrating run judges
    nothing but by the helpers' own limits, and measures each quantity once."""
    if run is not None and run.settings.calibrating:
        questions = [each if each.source == OWN else _without_limit(each) for each in questions]
    asked = [each if each.limited else each.change or each for each in questions]
    return [each for place, each in enumerate(asked) if each not in asked[:place]]


def _without_limit(question: Question) -> Question:
    """For a calibrating run. `source` says whether other runs need a baseline's limit."""
    source = GIVEN if question.limited else CALIBRATED
    change = question.change and replace(question.change, source=source)
    return replace(question, at_most=None, at_least=None, source=source, change=change)


# One comparison


def _settle_one(comparison: Comparison, metric: Metric, questions: Sequence[Question]) -> None:
    __tracebackhide__ = True
    if any(question.over is not None for question in questions):
        raise ConfigError("over= counts the members of a set; give a single comparison at_most=")
    check_answered(metric, [comparison])
    (measurement,) = metric.measure([comparison])
    verdicts = []
    for question in _asked(questions, comparison.run):
        m = question.view.of(measurement)
        if question.limited:
            at_most, at_least = question.at_most, question.at_least
            judged = judge(m, at_most=at_most, at_least=at_least, source=question.source)
        else:
            judged = [_judged_by_baseline(comparison, metric, m, question.source)]
        verdicts += [_accepting(comparison, metric, question.view, verdict) for verdict in judged]
    report(comparison.run, comparison, verdicts)


def _accepting(comparison: Comparison, metric: Metric, view: View, verdict: Verdict) -> Verdict:
    """The verdict, turned into a pass if the change that exceeds the limit was accepted."""
    accepted, m = comparison.accepted, verdict.measurement
    if accepted is None or verdict.outcome != "regressed" or verdict.bound == "at_least":
        return verdict
    if view.relative:
        again = view.of(metric.measure([against_accepted(comparison)])[0])
        wanted = judge(again, at_most=m.limit)[0].passed
    else:
        wanted = m.value <= accepted.values.get(m.name, -math.inf) * ROUNDING
    source = verdict.source + BY_ACCEPTANCE
    return replace(verdict, outcome="passed", source=source) if wanted else verdict


def _judged_by_baseline(
    comparison: Comparison, metric: Metric, m: Measurement, source: str
) -> Verdict:
    noise, limit = _limit(comparison.run, metric, m.name, comparison.probe.digest)
    if noise is None:
        return replace(judge(m, source=source)[0], why=limit)
    (verdict,) = judge(m, at_most=noise.limit, source=limit)
    return replace(verdict, noise=noise.reaches, chance=noise.chance)


def _limit(run: Run | None, metric: Metric, measure: str, digest: str) -> tuple[Noise | None, str]:
    """The baseline's noise for a measure and its source; or None, and why there is none."""
    if run is None:
        return None, ""
    if getattr(metric, "scorer", None) is not None:
        return None, "baselines know the run's own scorers only: with scorer=, give a limit"
    if run.settings.calibrating:
        return None, ""
    try:
        return cast("BaselineRun", run).noise(measure, digest), f"baseline {run.settings.baseline}"
    except LookupError as error:
        return None, str(error)


# A set


def _settle_set(
    subject: Iterable[Comparison], metric: Metric, questions: Sequence[Question]
) -> None:
    __tracebackhide__ = True
    report_set(judged_set(subject, metric, questions))


def judged_set(
    subject: Iterable[Comparison], metric: Metric, questions: Sequence[Question]
) -> list[tuple[Verdict, Sample]]:
    """The verdicts on a set, each with the sample that it rests on. Nothing is recorded or raised.

    Raises:
        ConfigError: the set is empty.
    """
    from pytest_llmdiff.verdicts.groups import judge_groups
    from pytest_llmdiff.verdicts.sets import Comparisons, gather

    views = list(dict.fromkeys(view for question in questions for view in question.views))
    samples = dict(zip(views, gather(metric, members_of(subject), views), strict=True))
    scope = subject.scope if isinstance(subject, Comparisons) else ""
    judged = []
    run = next(iter(samples.values())).run
    asked = [(q, _evidence(q, samples, scope)) for q in _asked(questions, run)]
    # Of what a baseline is to judge, a half in which nothing can move has no limit and needs none.
    able = [(q, found) for q, found in asked if q.limited or not found.among or found.able]
    for question, evidence in able or asked:
        sample = samples[question.view]
        if question.against is not None:
            sample = replace(sample, worst=samples[question.against].worst)
        at_most, at_least, source = question.at_most, question.at_least, question.source
        noise, limit = None, ""
        if not question.limited:
            noise, limit = _limit(run, metric, evidence.label, sample.digest)
            at_most, source = (None, source) if noise is None else (noise.limit, limit)
        reaches, chance = (None, None) if noise is None else (noise.reaches, noise.chance)
        why = limit if at_most is None and at_least is None else ""
        for verdict in judge_set(evidence, at_most=at_most, at_least=at_least, source=source):
            if question.groups:
                verdict = judge_groups(verdict, sample, question.groups)
            verdict = replace(
                verdict,
                why=why,
                p=evidence.p,
                noise=reaches,
                chance=chance,
                packaged=question.packaged,
            )
            judged.append((verdict, sample))
    return judged


def _evidence(question: Question, samples: Mapping[View, Sample], scope: str) -> Evidence:
    # Imported here, since single comparisons need no statistics.
    from pytest_llmdiff.verdicts.evidence import (
        change_evidence,
        mean_evidence,
        moved_evidence,
        rate_evidence,
        share_of,
    )

    sample = samples[question.view]
    if question.named is not None:
        from pytest_llmdiff.verdicts.paired import level_evidence, paired_evidence

        if question.base is None:
            evidence = level_evidence(sample, question.named, scope=scope)
        else:
            base = samples[question.base]
            evidence = paired_evidence(base, sample, question.named, scope=scope)
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
    details = {**evidence.details, **question.known}
    if sample.unanswered:
        details["notes"] = [
            f"{len(sample.unanswered)} of {len(sample.values)} probes of a set were not answered, "
            f"and count as the worst that they can be: {sample.unanswered[0]}"
        ]
    return replace(evidence, details=details)


def _settle_problems_of_set(
    subject: Iterable[Comparison], metric: Metric, question: Question
) -> None:
    __tracebackhide__ = True
    from pytest_llmdiff.verdicts.sets import gather

    (sample,) = gather(metric, members_of(subject), [question.view])
    bad = [comparison for value, comparison in sample.worst if value]
    count = sum(bool(value) for value in sample.values)
    problems = [
        f"{comparison.probe.id}: {problem}"
        for comparison in bad[:PROBLEMS]
        for problem in metric.measure([comparison])[0].details.get("problems", ())
    ]
    if count > PROBLEMS:
        problems.append(f"and {count - PROBLEMS} more")
    details = {"problems": problems, "members": len(sample.values)}
    measurement = Measurement(
        name=sample.name, value=float(count), unit=sample.unit, details=details
    )
    if sample.unsupported:
        missing, reason = sum(sample.unsupported.values()), next(iter(sample.unsupported))
        why = f"{missing} of {len(sample.values)} replies could not be judged: {reason}"
        measurement = replace(measurement, value=math.nan, unsupported=why, least=float(count))
    (verdict,) = judge(measurement, at_most=question.at_most, source=question.source)
    report_set([(verdict, sample)])
