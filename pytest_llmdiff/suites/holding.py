"""How a ready-made suite judges a set: under its own limits, and only in known languages."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import pytest

from pytest_llmdiff.comparison import Measurement
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics import Metric
from pytest_llmdiff.scorers.scripts import undeclared
from pytest_llmdiff.sets import Comparisons
from pytest_llmdiff.suites.limits import limited
from pytest_llmdiff.verdicts import Verdict

# Tokens of a reply: enough to tell what it is like, and few enough for a quick suite.
NEW_TOKENS = 48


def hold(comparisons: Comparisons, metric: Metric, question: Question, limit: str) -> None:
    """Hold a set against a limit of the suites.

    Raises:
        AssertionError: as the helpers do.
    """
    __tracebackhide__ = True
    run: Any = comparisons.run
    settle(comparisons, metric, [limited(question, limit, run.settings.suite_limits)])


def skip_unknown_language(comparisons: Comparisons, role: str) -> None:
    """Skip the test as not judged where the run's scorer knows no language of its probes.

    What the scorer should be able to judge and cannot is no reason: that fails.
    """
    run: Any = comparisons.run
    languages = run.languages(role)
    reasons = {undeclared(probe.language, languages) for probe in comparisons.probes}
    if None not in reasons:
        skip_not_judged(comparisons, role, reasons.pop() or "")


def skip_not_judged(comparisons: Comparisons, name: str, why: str) -> NoReturn:
    """Skip the test as not judged, told of in the reports."""
    reason = f"not judged: {why}"
    run: Any = comparisons.run
    measurement = Measurement(name=name, value=math.nan, unsupported=reason)
    run.record(None, Verdict(measurement=measurement, outcome="not judged"))
    pytest.skip(reason)
