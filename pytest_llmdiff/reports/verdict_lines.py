"""A verdict as the first line of a failure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_llmdiff.data.text.printing import counted, number, numbers_beside, printable
from pytest_llmdiff.reports.verdict_cells import (
    COUNTED,
    INTERVAL,
    balance_of,
    judge_text,
    small_groups_of,
)
from pytest_llmdiff.verdicts.baseline import NO_BASELINE
from pytest_llmdiff.verdicts.bounds.intervals import TAIL_UNITS
from pytest_llmdiff.verdicts.set_verdicts import Evidence
from pytest_llmdiff.verdicts.verdict import Verdict

if TYPE_CHECKING:
    from pytest_llmdiff.verdicts.estimates import Estimate

# By measure, the argument that would have set a limit.
NO_LIMIT = {
    "semantic drift": "at_most=0.3",
    "divergence": "at_most=0.5",
    "toxicity rise": "at_most=0.2 or rise_at_most=0.1",
    "refusal gained": "gained_at_most=0",
    "refusal gained rate": "gained_at_most=0.1",
    "refusal lost": "lost_at_most=0",
    "refusal lost rate": "lost_at_most=0.1",
    "invariance loss": "at_most=0.2",
    "refusal flip gained": "flips_at_most=0",
    "refusal flip gained rate": "flips_at_most=0.05",
    "format lost": "lost_at_most=0",
    "format lost rate": "lost_at_most=0.1",
    "accuracy drop": "drop_at_most=0.05",
    "answer lost": "lost_at_most=0",
    "judged drop": "drop_at_most=0.05",
    "preferred": "at_least=0.5",
    "answer lost rate": "lost_at_most=0.1",
    "reference likelihood drop": "drop_at_most=0.2",
    "text likelihood drop": "drop_at_most=0.2",
    "attention shift": "at_most=0.05",
    "attention shift of pairs": "pair_at_most=0.02",
    "attention drop on": "drop_at_most=0.1",  # and the words
    "likelihood gap": "likelihood_at_most=0.3",
    "toxicity gap": "toxicity_at_most=0.05",
    "refusal gap": "refusal_at_most=0.1",
    "length gap": "length_at_most=0.1",
    "divergence gap": "divergence_at_most=0.2",
}


def verdict_text(verdict: Verdict) -> str:
    """One line: the measured value, the limit, and who set it."""
    m = verdict.measurement
    if verdict.outcome == "not judged":
        return f"{m.name} not judged: {printable(m.unsupported or '')}"
    if verdict.evidence is not None:
        return _set_text(verdict, verdict.evidence)
    value = number(m.value)
    if verdict.outcome == "no limit":
        return f"{m.name} {value} has no limit: {_how_to_limit(verdict)}"
    if m.unit in COUNTED:
        return f"{m.name}: {value}" if m.value else f"no {m.name}"
    limit = "limit" if verdict.bound == "at_most" else "at least"
    value, held = numbers_beside(m.value, m.limit if m.limit is not None else math.nan)
    return f"{m.name} {value}, {limit} {held} ({verdict.source})"


def _set_text(verdict: Verdict, evidence: Evidence) -> str:
    m, estimate = verdict.measurement, evidence.estimate
    besides = [counted(estimate.clusters, "question")] * (estimate.clusters < estimate.n)
    besides += [f"{evidence.missing} more could not be judged"] * bool(evidence.missing)
    more = f" ({', '.join(besides)})" if besides else ""
    limit_or_nan = math.nan if m.limit is None else m.limit
    shown = [numbers_beside(x, limit_or_nan) for x in (estimate.value, estimate.low, estimate.high)]
    (value, _), (low, _), (high, _) = shown
    text = (
        f"{printable(evidence.label)} of {counted(estimate.n, 'comparison')}{more}: "
        f"{value}, {INTERVAL} {low} to {high}"
    )
    if both := balance_of(m.details, estimate.n):
        text += f" ({both})"
    if judged := judge_text(m.details):
        text += f" ({judged})"
    if evidence.not_finite:
        return f"{text}; {counted(evidence.not_finite, 'value')} not finite, so no limit is kept"
    if verdict.outcome == "no limit":
        return f"{text}, has no limit: {_how_to_limit(verdict)}"
    limit = "limit" if verdict.bound == "at_most" else "at least"
    text += f", {limit} {max((limit for _, limit in shown), key=len)} ({verdict.source})"
    group = _worst_group(verdict)
    if small := small_groups_of(m.details):
        group += f"; {printable(small)}"
    beyond = estimate.low > limit_or_nan if verdict.bound == "at_most" else True
    if verdict.outcome == "regressed":
        return (
            f"{text}: {'the interval is beyond it' if beyond else 'one group is beyond it'}{group}"
        )
    if verdict.outcome != "inconclusive":
        return text
    if group and estimate.high <= limit_or_nan:
        return f"{text}: inconclusive, one group may be beyond it{group}"
    return f"{text}: inconclusive{_why_wide(verdict, estimate)}{_how_to_decide(verdict, estimate)}"


def _why_wide(verdict: Verdict, estimate: Estimate) -> str:
    """Why the bound that faces the limit is wide, if it is for the probes or a heavy tail."""
    if estimate.lopsided:
        return (
            f"; a few of its {counted(estimate.clusters, 'question')} hold nearly all "
            f"{estimate.n} probes, so they would decide for all: give each about as many forms"
        )
    limit = verdict.measurement.limit
    if limit is None or not estimate.heavy[limit >= estimate.value]:
        return ""
    if estimate.clusters < TAIL_UNITS:
        return f"; fewer than {TAIL_UNITS} questions do not show how far others are from them"
    return (
        "; a few values are far from the others, so more such may be missing, and the interval is "
        "wide (a rate with over= has no such tail)"
    )


def _how_to_decide(verdict: Verdict, estimate: Estimate) -> str:
    if verdict.decides is None:
        return f", and no number of probes would decide{_why_never(verdict, estimate)}"
    if verdict.packaged:
        return "; a ready-made suite cannot grow: set another limit (llmdiff_suite_limits)"
    of = "probes" if estimate.clusters == estimate.n else "questions"
    return f"; about {verdict.decides} {of} like these would decide, in 4 of 5 such sets"


def _why_never(verdict: Verdict, estimate: Estimate) -> str:
    limit = verdict.measurement.limit
    at_most = verdict.bound == "at_most"
    end = estimate.low if at_most else estimate.high
    if limit is None:
        return ""
    if estimate.value == limit == end:  # the end of the measure, which no bound ever reaches
        some = " such as 0.05," if limit == 0 and at_most else ""
        return (
            f": a sample never shows that there is none among all others; give a limit beyond "
            f"{number(limit)},{some} or judge each probe by itself (fixture comparison)"
        )
    if estimate.value == limit:
        return ": the value is the limit itself; set the limit farther from it"
    if (estimate.over_probes > limit) != (estimate.value > limit):
        return (
            f": the mean over all probes is {number(estimate.over_probes)}, on the other side of "
            "the limit, since questions with many forms differ from the others"
        )
    return " at this value, which is so near to the limit"


def _worst_group(verdict: Verdict) -> str:
    """The group of a set that is farthest beyond the limit, if there are groups."""
    details = verdict.measurement.details
    if "worst group" not in details or verdict.measurement.limit is None:
        return ""
    limit = verdict.measurement.limit
    value, low = (
        numbers_beside(details[f"worst group {name}"], limit)[0] for name in ("value", "low")
    )
    return (
        f"; worst group {printable(details['worst group'])}: {value} over "
        f"{details['worst group members']} comparisons, at least {low} when "
        f"{counted(details['groups'], 'group')} are judged"
    )


def _how_to_limit(verdict: Verdict) -> str:
    name = verdict.measurement.name.partition(' "')[0]
    why = f"{printable(verdict.why)}; " if verdict.why else ""
    given = f"{why}give one in the test, such as {NO_LIMIT.get(name, 'at_most=...')}"
    if verdict.why in ("", NO_BASELINE):
        return (
            f"{given}, or measure one: pytest … --llmdiff-calibrate=baseline.json, then "
            "--llmdiff-baseline=baseline.json"
        )
    return given
