"""What every helper does: measures its subject, judges it against the limits, and reports that."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Protocol, cast

from pytest_llmdiff.data.comparison import Comparison, Measurement, Run, against_accepted
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.question import Question, evidence_of
from pytest_llmdiff.measures.raising import report, report_set
from pytest_llmdiff.measures.subject import Subject, members_of
from pytest_llmdiff.verdicts.metric import Metric, check_answered
from pytest_llmdiff.verdicts.verdict import BY_ACCEPTANCE, CALIBRATED, GIVEN, OWN, Verdict, judge
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.baseline import Noise
    from pytest_llmdiff.verdicts.sets import Sample


class BaselineRun(Run, Protocol):
    """A run that may have a baseline."""

    def noise(self, measure: str, probes: str) -> Noise:
        """The noise of a measure in the running test. Raises LookupError if none is known."""


# An accepted value may be measured again in batches of another composition: up to this factor it
# counts as the same value.
ROUNDING = 1.01
PROBLEMS = 20  # members of a set that a failure names


def settle(subject: Subject, metric: Metric, questions: Sequence[Question]) -> None:
    """Measures the subject, records the verdicts for the reports, and raises if one did not pass.

    Raises:
        AssertionError: a limit is exceeded or missing, or the subject cannot be judged, or
            (unless `llmdiff_inconclusive` says otherwise) a set is too small to decide.
        ConfigError: the subject is neither a comparison nor a set of them, the set is empty, a
            limit is not a finite number, or no value can keep two of them.
    """
    __tracebackhide__ = True
    for question in questions:
        for limit in (question.at_most, question.at_least, question.over):
            _check_limit(limit)
        _check_order(question.at_least, question.at_most)
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


def _check_order(at_least: float | None, at_most: float | None) -> None:
    """Raises where no value keeps both limits: a set would only ever be inconclusive."""
    __tracebackhide__ = True
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ConfigError(
            f"no value is at least {at_least:g} and at most {at_most:g}: give limits of which the "
            "first is not above the second"
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
    from pytest_llmdiff.verdicts.paired import differences
    from pytest_llmdiff.verdicts.set_verdicts import judge_set
    from pytest_llmdiff.verdicts.sets import Comparisons, gather

    views = list(dict.fromkeys(view for question in questions for view in question.views))
    samples = dict(zip(views, gather(metric, members_of(subject), views), strict=True))
    scope = subject.scope if isinstance(subject, Comparisons) else ""
    judged = []
    run = next(iter(samples.values())).run
    asked = [(q, evidence_of(q, samples, scope)) for q in _asked(questions, run)]
    # Of what a baseline is to judge, a half in which nothing can move has no limit and needs none.
    able = [(q, found) for q, found in asked if q.limited or not found.among or found.able]
    for question, evidence in able or asked:
        sample = samples[question.view]
        if question.named is not None and question.base is not None:
            sample = differences(samples[question.base], sample)
        if question.against is not None:
            sample = replace(sample, worst=samples[question.against].worst)
        if question.problems:
            found = _problems(metric, sample)
            evidence = replace(evidence, details={**evidence.details, "problems": found})
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


def _problems(metric: Metric, sample: Sample) -> list[str]:
    """What the metric finds wrong with the worst members, each with the name of its probe."""
    bad = [comparison for value, comparison in sample.worst if value > 0]
    return [
        f"{comparison.probe.id}: {problem}"
        for comparison in bad[:PROBLEMS]
        for problem in metric.measure([comparison])[0].details.get("problems", ())
    ]


def _settle_problems_of_set(
    subject: Iterable[Comparison], metric: Metric, question: Question
) -> None:
    __tracebackhide__ = True
    from pytest_llmdiff.verdicts.sets import gather

    (sample,) = gather(metric, members_of(subject), [question.view])
    count = sum(bool(value) for value in sample.values)
    problems = _problems(metric, sample)
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
