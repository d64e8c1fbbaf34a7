"""How a ready-made suite judges a set: under its own limits, and only in known languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.scripts import undeclared
from pytest_llmdiff.engines import capability
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.suites.limits import limited
from pytest_llmdiff.verdicts.metric import Metric
from pytest_llmdiff.verdicts.sets import Comparisons, gather
from pytest_llmdiff.verdicts.verdict import Verdict

# Tokens of a reply: enough to tell what it is like, and few enough for a quick suite.
NEW_TOKENS = 48
# Of an answer that a few words give.
FEW_TOKENS = 16
# Capabilities by which an engine tells how likely a text is.
TELLS_LIKELIHOODS = ("token_logits", "likely_tokens", "logprobs", "recorded_check")


Subject = Comparisons | Sequence[Comparison]


def hold(subject: Subject, metric: Metric, question: Question, limit: str) -> None:
    """Hold a set against a limit of the suites.

    Raises:
        AssertionError: as the helpers do.
    """
    __tracebackhide__ = True
    given = run_of(subject).settings.suite_limits
    settle(subject, metric, [limited(question, limit, given)])


def run_of(subject: Subject) -> Any:
    return subject.run if isinstance(subject, Comparisons) else subject[0].run


def skip_unknown_language(comparisons: Comparisons, role: str) -> None:
    """Skip the test as not judged where the run's scorer knows no language of its probes.

    What the scorer should be able to judge and cannot is no reason: that fails.
    """
    run: Any = comparisons.run
    languages = run.scoring.languages(role, None)
    reasons = {undeclared(probe.language, languages) for probe in comparisons.probes}
    if None in reasons:
        return
    skip_not_judged(run, role, str(reasons.pop()))


def skip_without_likelihoods(subject: Subject) -> None:
    """Skip the test as not judged where an engine has no likelihoods to give.

    A recording has those that were recorded: what it lacks is no reason.
    """
    run = run_of(subject)
    pair = run.generation.pair
    for side, engine in (("base", pair.base), ("tuned", pair.tuned)):
        if all(capability(engine, name) is None for name in TELLS_LIKELIHOODS):
            reason = f"the engine of the {side} has no logits, and so no likelihoods"
            skip_not_judged(run, "likelihood", f"{reason}: {type(engine).__name__}")


def skip_little_known(comparisons: Comparisons, limit: str) -> None:
    """Skip the test as not judged where the base knows so few answers that not even none lost
    would show that the limit is kept."""
    # In here, for the suites that ask nothing of the kind.
    from pytest_llmdiff.measures.retention import KNOWN, Retention
    from pytest_llmdiff.verdicts.intervals import ERROR

    run: Any = comparisons.run
    held = limited(Question(view=KNOWN), limit, run.settings.suite_limits).at_most
    if held is None or held >= 1:
        return
    needed = math.ceil(math.log(ERROR) / math.log(1 - held)) if held > 0 else math.inf
    (sample,) = gather(Retention(likelihoods=False), comparisons, [KNOWN])
    right = sum(value == 1 for value in sample.values)
    if right < needed and not sample.unsupported:
        skip_not_judged(
            run, "answers",
            f"the base gives {right} of the {len(sample.values)} answers, and {needed} are needed "
            f"to show that no more than {held:g} of them are lost",
        )  # fmt: skip


def skip_not_judged(run: Any, name: str, reason: str) -> NoReturn:
    """Skip the test as not judged, told of in the reports."""
    reason = f"not judged: {reason}"
    measurement = Measurement(name=name, value=math.nan, unsupported=reason)
    run.record(None, Verdict(measurement=measurement, outcome="not judged"))
    pytest.skip(reason)
