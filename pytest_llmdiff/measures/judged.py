"""What a judge says of replies: how many meet a rubric, and which model's meet it better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Run, Score
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.limits import check_within
from pytest_llmdiff.measures.question import Question
from pytest_llmdiff.measures.scores import scores_of
from pytest_llmdiff.measures.settle import settle
from pytest_llmdiff.measures.shares import shares
from pytest_llmdiff.measures.subject import Subject, measured, set_of
from pytest_llmdiff.verdicts.paired import Named
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.generation.judge import Form, Judge
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.measures.labels import Measured
    from pytest_llmdiff.verdicts.set_verdicts import Evidence

Rubric = str | Path
UNIT = "share of replies"
NO_JUDGE = "a judge needs comparisons from a fixture, and --llmdiff-judge"
EQUAL = 0.5  # a tie


class JudgedRun(Run, Protocol):
    """A run with a judge."""

    @property
    def scoring(self) -> Scoring: ...


def rubric_of(given: Rubric) -> str:
    """The text of a rubric.

    Raises:
        ConfigError: there is no such file, or it is empty.
    """
    if isinstance(given, Path):
        try:
            given = given.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"rubric={given}: the file cannot be read: {error}") from error
    if not isinstance(given, str) or not given.strip():
        raise ConfigError("rubric= is empty: say in a few sentences what a reply has to be")
    return given.strip()


def judge_of(run: Run | None, rubric: str, form: Form) -> Judge:
    """The run's judge for a rubric. Raises ConfigError if there is none."""
    if run is None:
        raise ConfigError(NO_JUDGE)
    return cast("JudgedRun", run).scoring.judge(rubric, form)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """1 if the tuned reply meets the rubric, by the judge, else 0; `details` has the base's."""

    rubric: str

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        judge = judge_of(comparisons[0].run, self.rubric, "meets")
        scores = scores_of("judge", comparisons, _each_reply, judge)
        pairs = zip(scores[::2], scores[1::2], strict=True)
        return [_measurement("judged", base, tuned) for base, tuned in pairs]


@dataclass(frozen=True, kw_only=True)
class Preferred:
    """1 if the judge finds the tuned reply better, 0 if the base reply, 0.5 for a tie.

    Either reply stands first once: a judge that contradicts itself has no preference. Equal replies
    are a tie, and not asked about. `details` has how the judge answered when the base reply stood
    first (`base_first`), and when the tuned one did (`tuned_first`): the share of the tuned reply.
    """

    rubric: str

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        if not comparisons:
            return []
        judge = judge_of(comparisons[0].run, self.rubric, "better")
        scores = iter(scores_of("judge", comparisons, _both_orders, judge))
        return [
            preference(next(scores), next(scores)) if _both_orders(comparison) else _tie()
            for comparison in comparisons
        ]


def _each_reply(comparison: Comparison) -> list[tuple[str, ...]]:
    prompt = comparison.probe.prompt
    return [(prompt, comparison.base.text), (prompt, comparison.tuned.text)]


def _both_orders(comparison: Comparison) -> list[tuple[str, ...]]:
    prompt, base, tuned = comparison.probe.prompt, comparison.base.text, comparison.tuned.text
    return [] if base == tuned else [(prompt, base, tuned), (prompt, tuned, base)]


def _measurement(name: str, base: Score, tuned: Score) -> Measurement:
    reason = base.unsupported or tuned.unsupported
    return Measurement(
        name=name,
        value=math.nan if reason or tuned.value is None else tuned.value,
        unit=UNIT,
        unsupported=reason,
        details={"base": base.value, "tuned": tuned.value},
    )


def preference(base_first: Score, tuned_first: Score) -> Measurement:
    reason = base_first.unsupported or tuned_first.unsupported
    if reason or base_first.value is None or tuned_first.value is None:
        return _preferred(math.nan, None, None, reason or "the judge gave no score")
    shares = 1 - base_first.value, tuned_first.value
    # Won in both orders, or in one with a tie in the other; else the judge goes by the place.
    total = sum(shares)
    value = EQUAL if total == 1 else float(total > 1)
    return _preferred(value, *shares, None)


def _tie() -> Measurement:
    return _preferred(EQUAL, EQUAL, EQUAL, None)


def _preferred(
    value: float, base_first: float | None, tuned_first: float | None, reason: str | None
) -> Measurement:
    details = {"base_first": base_first, "tuned_first": tuned_first}
    return Measurement(
        name="preferred", value=value, unit=UNIT, unsupported=reason, details=details
    )


def _view(name: str, of: Callable[[Measurement], float]) -> View:
    def view(m: Measurement) -> Measurement:
        return replace(m, name=name, value=math.nan if m.unsupported else of(m))

    return View(support=(0.0, 1.0), of=view)


SHARES = shares(
    "judged",
    unit=UNIT,
    noun="replies",
    base_right="judged, the base",
    wrong="rubric not met",
    base_wrong="rubric not met by the base",
    lost="rubric met by the base alone",
)
WINS = View(support=(0.0, 1.0))
LOSSES = _view("base reply preferred", lambda m: 1 - m.value)
FIRST = _view("first reply preferred",
              lambda m: (1 - m.details["base_first"] + m.details["tuned_first"]) / 2)  # fmt: skip
WON = Named(name="preferred", unit=UNIT)


def assert_judged(
    subject: Subject,
    *,
    rubric: Rubric,
    at_least: float | None = None,
    drop_at_most: float | None = None,
) -> None:
    """Enough of the tuned replies meet a rubric, by the judge (`--llmdiff-judge`).

    With labels (`--llmdiff-labels`) the rate is corrected by how the judge agrees with people, and
    its interval widened; without, the verdict says that it is uncorrected.

    Args:
        subject: a set of comparisons.
        rubric: what a reply has to be, in a few sentences, or the path of a file with them.
        at_least: the smallest share (0 to 1) of tuned replies that meet it.
        drop_at_most: by how much that share may be below the base's, 0 to 1.

    Raises:
        AssertionError: a limit is broken or missing, the judge's answers are no judgements, or the
            set is too small to decide.
        ConfigError: there is no judge, or the rubric or a limit makes no sense.
    """
    __tracebackhide__ = True
    check_within({"at_least": at_least, "drop_at_most": drop_at_most}, 0, 1)
    text = rubric_of(rubric)
    known = {"rubric": text}
    questions = []
    if at_least is not None:
        corrected = _corrected(text, change=False)
        questions.append(SHARES.level(at_least, known=known, corrected=corrected))
    if drop_at_most is not None or at_least is None:
        corrected = _corrected(text, change=True)
        questions.append(SHARES.drop(drop_at_most, known=known, corrected=corrected))
    settle(set_of(subject, "assert_judged", "judged"), Judged(rubric=text), questions)


def assert_preferred(subject: Subject, *, rubric: Rubric, at_least: float | None = None) -> None:
    """The judge (`--llmdiff-judge`) prefers the tuned model's replies often enough.

    Each pair is shown in both orders. A tie, and a pair on which the judge contradicts itself,
    count a half.

    Args:
        subject: a set of comparisons.
        rubric: what makes a reply better, in a few sentences, or the path of a file with them.
        at_least: the smallest share (0 to 1) of preferences for the tuned model. 0.5 passes only if
            the interval shows that it is at least as good as the base.

    Raises:
        AssertionError: the limit is broken or missing, the judge's answers are no judgements, or
            the set is too small to decide.
        ConfigError: there is no judge, or the rubric or the limit makes no sense.
    """
    __tracebackhide__ = True
    check_within({"at_least": at_least}, 0, 1)
    text = rubric_of(rubric)
    question = Question(
        view=WINS, named=WON, at_least=at_least, against=LOSSES, told={"first preferred": FIRST},
        corrected=uncorrected,
    )  # fmt: skip
    settle(set_of(subject, "assert_preferred", "preferred"), Preferred(rubric=text), [question])


def uncorrected(evidence: Evidence, _: Run | None) -> Evidence:
    """Evidence that says that its judge was not measured."""
    note = "uncorrected: how the judge agrees with people was not measured"
    return replace(evidence, details={**evidence.details, "judge": note})


def _corrected(rubric: str, *, change: bool) -> Callable[[Evidence, Run | None], Evidence]:
    def correct(evidence: Evidence, run: Run | None) -> Evidence:
        from pytest_llmdiff.measures.labels import measured_judge

        found: Measured | None = measured_judge(run, rubric)
        if found is None:
            return uncorrected(evidence, run)
        return found.correct(evidence, change=change)

    return correct


@overload
def judged(subject: Comparison, *, rubric: Rubric) -> Measurement: ...
@overload
def judged(subject: Iterable[Comparison], *, rubric: Rubric) -> list[Measurement]: ...
def judged(subject: Subject, *, rubric: Rubric) -> Measurement | list[Measurement]:
    """1 if the tuned reply meets the rubric, by the judge, else 0; `details` has the base's."""
    return measured(Judged(rubric=rubric_of(rubric)), subject)


@overload
def preferred(subject: Comparison, *, rubric: Rubric) -> Measurement: ...
@overload
def preferred(subject: Iterable[Comparison], *, rubric: Rubric) -> list[Measurement]: ...
def preferred(subject: Subject, *, rubric: Rubric) -> Measurement | list[Measurement]:
    """1 if the judge prefers the tuned reply, 0 if the base reply, 0.5 for a tie."""
    return measured(Preferred(rubric=rubric_of(rubric)), subject)
