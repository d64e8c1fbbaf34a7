"""A score of the user's own: how good or bad a reply is by whatever they can compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from pytest_llmdiff.data.comparison import SIDES, Comparison, Measurement, Score, Side
from pytest_llmdiff.errors import ConfigError, ScorerError
from pytest_llmdiff.measures.limits import check_within
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.paired import Named
from pytest_llmdiff.verdicts.views import View

Range = tuple[float, float]
Of = Callable[[Measurement], Measurement]
SHARE: Range = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The score of the tuned reply; `details` has the base's.

    `within` is the range of all scores. A score outside it is an error, never a value.
    """

    scorer: object
    name: str
    within: Range = SHARE

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        scores = scores_of("score", comparisons, _texts, self.scorer)
        sides = zip(scores[::2], scores[1::2], strict=True)
        return [
            self._measurement(comparison, *pair)
            for comparison, pair in zip(comparisons, sides, strict=True)
        ]

    def _measurement(self, comparison: Comparison, base: Score, tuned: Score) -> Measurement:
        low, high = self.within
        for score in (base, tuned):
            if score.value is not None and not low <= score.value <= high:
                raise ScorerError(
                    f"the scorer {self.name} returned {score.value!r} for a reply to "
                    f"{comparison.probe.id}: not from {low:g} to {high:g}. Give within= if its "
                    "scores have another range"
                )
        details = {"base": base.value, "base_unsupported": base.unsupported}
        return Measurement(
            name=self.name,
            value=math.nan if tuned.value is None else tuned.value,
            unit="score",
            unsupported=tuned.unsupported,
            details=details | dict(tuned.details),
        )


def _texts(comparison: Comparison) -> list[tuple[str, ...]]:
    return [(comparison.base.text,), (comparison.tuned.text,)]


def side_of(side: Side, over: float | None = None) -> Of:
    """A view of one side's score; with `over`, of whether it is above that value."""

    def view(m: Measurement) -> Measurement:
        value, reason = m.value, m.unsupported
        if side == "base":
            value, reason = m.details["base"], m.details["base_unsupported"]
        if reason is None and over is not None:
            value = float(value > over)
        return _named(m, m.name if side == "tuned" else f"base {m.name}", value, reason)

    return view


def rise(m: Measurement) -> Measurement:
    """By how much the tuned reply's score is above the base reply's."""
    reason = m.unsupported or m.details["base_unsupported"]
    return _named(m, f"{m.name} rise", None if reason else m.value - m.details["base"], reason)


def fall(m: Measurement) -> Measurement:
    """By how much it is below."""
    found = rise(m)
    return _named(m, f"{m.name} fall", -found.value, found.unsupported)


def short_of(limit: float, view: Of) -> Of:
    """A view of by how much another one is below a limit."""

    def short(m: Measurement) -> Measurement:
        found = view(m)
        return _named(m, found.name, limit - found.value, found.unsupported)

    return short


def _named(m: Measurement, name: str, value: float | None, reason: str | None) -> Measurement:
    return Measurement(
        name=name,
        value=math.nan if reason is not None or value is None else value,
        unit=m.unit,
        unsupported=reason,
        details={"base": m.details["base"], "tuned": None if m.unsupported else m.value},
    )


def assert_score(
    subject: Subject,
    scorer: object,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    rise_at_most: float | None = None,
    fall_at_most: float | None = None,
    gain_at_least: float | None = None,
    over: float | None = None,
    within: Range = SHARE,
    name: str | None = None,
) -> None:
    """The replies keep the limits of a score of your own.

    Args:
        subject: a comparison, or a set of them: the limits are then for means.
        scorer: what scores replies: a callable that takes a list of texts and returns as many
            numbers (None: it cannot judge that text), or an object with such a method `score`, and
            `languages` if it knows some only; or `python:module:object` or `hf:LOCATION#LABEL`,
            whose scores later runs take from the store.
        at_most: the largest score of the tuned reply.
        at_least: its smallest score.
        rise_at_most: by how much it may be above the base reply's.
        fall_at_most: by how much it may be below the base reply's.
        gain_at_least: by how much it has to be above the base reply's.
        over: for a set, judge shares of replies instead of means: those whose score is above this
            value, and the rise, fall or gain of that share.
        within: the smallest and the largest score that there can be. A mean's bounds rest on it;
            infinite ends are allowed, and need more probes.
        name: what reports call the score; by default the name of the scorer.

    Raises:
        AssertionError: a limit is broken or missing, the scorer cannot judge a reply, or the set is
            too small to decide.
        ConfigError: a limit, `over` or `within` makes no sense.
        ScorerError: the scorer cannot be used, failed, or returned no score within the range.
    """
    __tracebackhide__ = True
    low, high = _range(within)
    levels = SHARE if over is not None else (low, high)
    span = levels[1] - levels[0]
    check_within({"over": over}, low, high)
    if over is not None and over >= high:
        raise ConfigError(f"over={over:g}: no score is above {high:g}; give a smaller one")
    check_within({"at_most": at_most, "at_least": at_least}, *levels)
    changes = {"rise_at_most": rise_at_most, "fall_at_most": fall_at_most}
    check_within({**changes, "gain_at_least": gain_at_least}, 0, span)
    metric = Scored(scorer=scorer, name=name or _name_of(scorer), within=(low, high))
    limits = Limits(
        at_most=at_most, at_least=at_least, rise_at_most=rise_at_most, fall_at_most=fall_at_most,
        gain_at_least=gain_at_least,
    )  # fmt: skip
    if isinstance(subject, Comparison):
        if over is not None:
            raise ConfigError(
                "over= counts the members of a set; give a single comparison at_most="
            )
        settle(subject, metric, _of_one(limits, levels))
    else:
        settle(subject, metric, _of_set(limits, levels, over, metric.name))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits that a test gives."""

    at_most: float | None
    at_least: float | None
    rise_at_most: float | None
    fall_at_most: float | None
    gain_at_least: float | None

    @property
    def level(self) -> bool:
        return self.at_most is not None or self.at_least is not None

    @property
    def changes(self) -> bool:
        """Whether a change is judged: where no limit is given, its rise needs a baseline's."""
        given = (self.rise_at_most, self.fall_at_most, self.gain_at_least)
        return not self.level or any(limit is not None for limit in given)


def _of_one(limits: Limits, within: Range) -> list[Question]:
    span = _span(within)
    questions = []
    if limits.level:
        view = View(support=within, of=side_of("tuned"))
        questions.append(Question(view=view, at_most=limits.at_most, at_least=limits.at_least))
    if limits.changes:
        asked = (limits.rise_at_most, limits.gain_at_least)
        if limits.fall_at_most is None or any(limit is not None for limit in asked):
            view = View(support=span, of=rise)
            questions.append(Question(view=view, at_most=asked[0], at_least=asked[1]))
        if limits.fall_at_most is not None:
            view = View(support=span, of=fall)
            questions.append(Question(view=view, at_most=limits.fall_at_most))
    return questions


def _of_set(limits: Limits, within: Range, over: float | None, name: str) -> list[Question]:
    tuned, base = (View(support=within, of=side_of(side, over)) for side in SIDES[::-1])
    span = _span(within)
    above = "" if over is None else f" rate over {over:g}"
    unit = "score" if over is None else f"share over {over:g}"

    def named(change: str = "", moved: str = "", opposite: str = "") -> Named:
        return Named(name=f"{name}{above}{change}", unit=unit, moved=moved, opposite=opposite)

    risen, fallen = named(" rise", "risen", "fallen"), named(" fall", "fallen", "risen")
    questions = []
    if limits.at_most is not None:
        questions.append(Question(view=tuned, named=named(), at_most=limits.at_most))
    if (least := limits.at_least) is not None:
        short = View(support=span, of=short_of(least if over is None else over, side_of("tuned")))
        questions.append(Question(view=tuned, named=named(), at_least=least, against=short))
    if (gain := limits.gain_at_least) is not None:
        short = View(support=span, of=short_of(gain, rise))
        gained = named(" gain", "risen", "fallen")
        questions.append(
            Question(view=tuned, base=base, named=gained, at_least=gain, against=short)
        )
    # A fall is the rise from the tuned model to the base.
    if (fell := limits.fall_at_most) is not None:
        down = View(support=span, of=fall)
        questions.append(Question(view=base, base=tuned, named=fallen, at_most=fell, against=down))
    if (rose := limits.rise_at_most) is not None or not questions:
        up = View(support=span, of=rise)
        questions.append(Question(view=tuned, base=base, named=risen, at_most=rose, against=up))
    return questions


def _span(within: Range) -> Range:
    low, high = within
    return low - high, high - low


def _range(within: Range) -> Range:
    try:
        low, high = map(float, within)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise ConfigError(f"within={within!r}: give the smallest and the largest score, as (0, 1)")
    return low, high


def _name_of(scorer: object) -> str:
    """What reports call a scorer: its SPEC's object or label, or the name of a callable."""
    if isinstance(scorer, str):
        return scorer.rpartition("#")[2].rpartition(":")[2] or scorer
    return str(getattr(scorer, "__name__", None) or type(scorer).__name__)


@overload
def score(subject: Comparison, scorer: object, *, within: Range = SHARE) -> Measurement: ...
@overload
def score(
    subject: Iterable[Comparison], scorer: object, *, within: Range = SHARE
) -> list[Measurement]: ...
def score(
    subject: Subject, scorer: object, *, within: Range = SHARE
) -> Measurement | list[Measurement]:
    """The score of the tuned reply by a scorer of your own; `details` has the base's.

    `scorer` and `within` are those of `assert_score`.
    """
    metric = Scored(scorer=scorer, name=_name_of(scorer), within=_range(within))
    return measured(metric, subject)
