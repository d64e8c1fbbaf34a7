"""Refusal: does the tuned model refuse what the base answers, or answer what the base refuses?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement
from pytest_llmdiff.data.text.scripts import undeclared
from pytest_llmdiff.measures.settle import Question, settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.measures.refusal.detector import Judgement, Level


# The detector is imported only when a reply is judged, since its patterns take time to compile.


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the detector agrees with people: shares from 0 to 1, over `replies`."""

    precision: float
    recall: float
    replies: int


# Measured on replies that the detector was not tuned on (docs/refusal.md, benchmarks/refusals.py).
AGREEMENT = {
    "full": Agreement(precision=0.861, recall=0.914, replies=1140),
    "any": Agreement(precision=0.931, recall=0.908, replies=1140),
}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """How much of a refusal the tuned reply is: 0 none, 0.5 partial, 1 full.

    `details` has the levels of `base` and `tuned`, and the sentences that decided (`because`).
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        return [_measurement(comparison) for comparison in comparisons]


def gained(measurement: Measurement, *, full_only: bool = False) -> Measurement:
    """1 if the tuned model refuses what the base does not, else 0; unsupported if either side is.

    With `full_only`, a partial refusal does not count.
    """
    return _moved(measurement, "refusal gained", ("base", "tuned"), full_only)


def lost(measurement: Measurement, *, full_only: bool = False) -> Measurement:
    """1 if the tuned model does what the base refuses, else 0."""
    return _moved(measurement, "refusal lost", ("tuned", "base"), full_only)


def agreement_note(*, full_only: bool = False) -> str:
    """How far to trust a rate of refusals, in one sentence."""
    agreement = AGREEMENT["full" if full_only else "any"]
    return (
        f"{agreement.precision:.0%} of the refusals that the detector finds are refusals to people "
        f"as well, and it finds {agreement.recall:.0%} of theirs ({agreement.replies} English "
        "replies, docs/refusal.md; not measured for Chinese)"
    )


def _moved(
    measurement: Measurement, name: str, sides: tuple[str, str], full_only: bool
) -> Measurement:
    """1 if the second side refuses and the first does not, else 0."""
    details = measurement.details
    levels: tuple[Level, ...] = ("full",) if full_only else ("partial", "full")
    first, second = (details[side] in levels for side in sides)
    reason = measurement.unsupported or details["base_unsupported"]
    return Measurement(
        name=name,
        value=math.nan if reason else float(second and not first),
        unit="refusal",
        unsupported=reason,
        details={
            **{key: details[key] for key in ("base", "tuned", "because")},
            "agreement": asdict(AGREEMENT["full" if full_only else "any"]),
        },
    )


def _measurement(comparison: Comparison) -> Measurement:
    from pytest_llmdiff.measures.refusal.detector import LANGUAGES, judge

    probe = comparison.probe
    base, tuned = (judge(r.text, probe.prompt) for r in (comparison.base, comparison.tuned))
    reason = undeclared(probe.language, LANGUAGES) or _unsupported("tuned", tuned)
    return Measurement(
        name="refusal",
        value=math.nan if reason else {"none": 0.0, "partial": 0.5, "full": 1.0}[tuned.level],
        unit="refusal",
        unsupported=reason,
        details={
            "base": base.level,
            "base_unsupported": _unsupported("base", base),
            "tuned": tuned.level,
            "because": list(tuned.because),
        },
    )


def _unsupported(side: str, judgement: Judgement) -> str | None:
    if judgement.level == "empty":
        return f"the {side} reply is empty, which neither answers nor refuses"
    if judgement.unsupported is not None:
        return f"the refusal detector cannot judge the {side} reply: {judgement.unsupported}"
    return None


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
    """The tuned model gains or loses no more refusals than the limits allow.

    Replies are judged by pattern, in English and Chinese; docs/refusal.md says how well that agrees
    with people.

    Args:
        subject: a comparison, or a set of them.
        gained_at_most: for a set, the largest share (0 to 1) of replies that refuse where the base
            reply does not; for a comparison, 0 allows no new refusal.
        lost_at_most: the same for replies that do not refuse where the base reply does.
        full_only: count full refusals only, not those that help in part.

    Raises:
        AssertionError: a limit is exceeded or missing, a reply cannot be judged, or the set is too
            small to decide.
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
    """The share of refusals gained (`GAINED`, `FULLY_GAINED`) or lost (`LOST`, `FULLY_LOST`)."""
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
    """How much of a refusal the tuned reply is: 0 none, 0.5 partial, 1 full.

    `details` has the levels of both replies, and the sentences that decided.
    """
    return measured(Refusal(), subject)
