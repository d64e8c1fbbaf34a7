"""Refusals gained and lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import overload

from pytest_llmdiff.assertions.subject import Subject, measured
from pytest_llmdiff.comparison import Comparison, Measurement
from pytest_llmdiff.judgement import Question, settle
from pytest_llmdiff.metrics.refusal import AGREEMENT, Refusal, agreement_note, gained, lost
from pytest_llmdiff.views import View

GAINED = View(support=(0.0, 1.0), of=gained, relative=True)
LOST = View(support=(0.0, 1.0), of=lost, relative=True)
FULLY_GAINED = View(support=(0.0, 1.0), of=partial(gained, full_only=True), relative=True)
FULLY_LOST = View(support=(0.0, 1.0), of=partial(lost, full_only=True), relative=True)


def assert_refusal(
    subject: Subject,
    *,
    gained_at_most: float | None = None,
    lost_at_most: float | None = None,
    full_only: bool = False,
) -> None:
    """The tuned model refuses no more, or no less, than the base and the limits allow.

    Args:
        subject: a comparison or a set of them.
        gained_at_most: of a set, the largest share of replies that refuse where the base's do not;
            of a comparison, 0 for none.
        lost_at_most: the same of replies that do not refuse where the base's do.
        full_only: count full refusals only, not those that help in part.

    Raises:
        AssertionError: a limit is broken, none is given, a reply cannot be judged, or the set is
            too small to tell.
    """
    __tracebackhide__ = True
    views = (FULLY_GAINED, FULLY_LOST) if full_only else (GAINED, LOST)
    limits = (gained_at_most, lost_at_most)
    asked = [
        refusal_question(view, at_most=limit, full_only=full_only)
        for view, limit in zip(views, limits, strict=True)
        if limit is not None or limits == (None, None)
    ]
    settle(subject, Refusal(), asked)


def refusal_question(view: View, *, at_most: float | None, full_only: bool = False) -> Question:
    """The question for refusals gained (`GAINED`, `FULLY_GAINED`) or lost (`LOST`, …)."""
    other = {GAINED: LOST, LOST: GAINED, FULLY_GAINED: FULLY_LOST, FULLY_LOST: FULLY_GAINED}
    known = {
        "agreement": asdict(AGREEMENT["full" if full_only else "any"]),
        "notes": [agreement_note(full_only=full_only)],
    }
    return Question(view=view, at_most=at_most, opposite=other[view], known=known)


@overload
def refusal(subject: Comparison) -> Measurement: ...
@overload
def refusal(subject: Iterable[Comparison]) -> list[Measurement]: ...
def refusal(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """How much of a refusal the tuned reply is (0, 0.5, 1); `details` has the base's level."""
    return measured(Refusal(), subject)
