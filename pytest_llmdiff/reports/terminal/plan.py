"""What the sets of a run could show, as lines of its plan."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_llmdiff.data.text.printing import counted
from pytest_llmdiff.verdicts.decisions import smallest_effect
from pytest_llmdiff.verdicts.power import (
    GUESSING,
    PlannedSet,
    Spread,
    detectable_change,
    detectable_rate,
    judge_reach,
    labels_needed,
    shown_without_events,
)

LOW_LIMIT = 0.05  # a usual limit of what must hardly happen
REACHES = (0.05, 0.1)  # half the width of an interval of a judge's rate


def power_lines(planned: PlannedSet) -> Iterator[str]:
    n = planned.questions
    sizes = f"{counted(planned.probes, 'probe')}, {counted(n, 'question')}"
    yield f"  {planned.test}: {sizes}; it shows, with a power of 80 %:"
    rate = _size(detectable_rate(n), "beyond a limit")
    low = _size(detectable_rate(n, LOW_LIMIT), f"beyond one of {LOW_LIMIT:g}")
    yield f"    a rate, or a mean from 0 to 1: {rate} at worst, {low}"
    worst = _size(detectable_change(n, one_way=False), "if every outcome flips")
    best = _size(detectable_change(n, one_way=True), "if none moves the other way")
    yield f"    a change of a rate: {worst}, {best}"
    yield f"    a mean without an end: {_effect(1.0, n, 'standard deviations')}"
    happens, lost = shown_without_events(n)
    yield f"    if nothing happens: a rate below {happens:.2g}, a loss below {lost:.2g}"
    for measure, spread in planned.spreads.items():
        yield f"    {measure}: {_known(spread)}, by the spread of {spread.source}"
    for errors in planned.judge_errors:
        yield f"    {_labels(n, errors)}"


def _size(size: float, when: str) -> str:
    return f"nothing {when}" if math.isinf(size) else f"{size:.2g} {when}"


def _effect(spread: float, n: int, unit: str = "") -> str:
    effect = smallest_effect(spread, n)
    if math.isinf(effect):
        return f"nothing, since {counted(n, 'question')} cannot bound it"
    return f"{effect:.2g} {unit}".rstrip()


def _known(spread: Spread) -> str:
    if spread.value == 0:
        return "unknown, since all values are equal"
    return f"a change of {_effect(spread.value, spread.questions)}"


def _labels(n: int, errors: float) -> str:
    """How many labels a judge needs that errs on this share of the replies."""
    judge = "that guesses" if errors >= GUESSING else f"that errs on {errors:.0%} of the replies"
    needed = [
        f"{labels} for an interval of ±{reach:g}"
        for reach in REACHES
        if (labels := labels_needed(reach, n, errors)) is not None
    ]
    if needed:
        return f"labels of each model for a judge {judge}: {', '.join(needed)}"
    return (
        f"labels for a judge {judge}: none are enough for an interval of ±{REACHES[-1]:g}, since "
        f"{counted(n, 'question')} leave ±{judge_reach(n):.2g}"
    )
