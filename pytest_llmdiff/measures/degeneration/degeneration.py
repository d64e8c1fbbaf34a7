"""Degeneration: replies that are empty, loop, never stop, switch language, leak markers of the chat
template, or repeat the prompt or a training answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast, overload

from pytest_llmdiff.data.comparison import SIDES, Comparison, Measurement, Reply, Run
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.degeneration.copies import copied, recited
from pytest_llmdiff.measures.degeneration.empty import empty
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence, beside
from pytest_llmdiff.measures.degeneration.garbage import garbage
from pytest_llmdiff.measures.degeneration.language import switch
from pytest_llmdiff.measures.degeneration.marks import dialogue, template_marks, thinking
from pytest_llmdiff.measures.degeneration.repetition import repetition
from pytest_llmdiff.measures.degeneration.salad import salads
from pytest_llmdiff.measures.settle import Question, settle, settle_problems
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.explain.training.known import KnownTraining
    from pytest_llmdiff.explain.training.recitation import Recital
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.store import Store


# Kinds that make a base reply no measure for the tuned one.
UNSOUND = ("empty", "punctuation", "garbage", "loop")


class DegenerationRun(Run, Protocol):
    """A run that knows what its tuned model was trained on."""

    @property
    def sides(self) -> tuple[str, str]: ...
    @property
    def generation(self) -> ReplyGenerator: ...
    @property
    def store(self) -> Store: ...
    @property
    def trained(self) -> KnownTraining: ...


@dataclass(frozen=True, kw_only=True)
class Degeneration:
    """The number of signs of degeneration in the tuned reply.

    The signs: it is empty or nothing but punctuation; it is damaged text; it loops; it runs into
    the length limit although the base reply stopped; it, or a part of it, is in another language
    than the conversation and the base reply; it shows markers of chat templates, or its reasoning;
    it plays both sides; the base finds no sense in its words; it copies the prompt; it recites the
    training answer to an unrelated prompt. None of them counts where the prompt asks for it, nor
    (but for an empty reply) where the base reply does the same.

    `details["problems"]` says them, and `details["evidence"]` has the kind, place and quotation of
    each. `details["base"]` says those of the base reply that show in a reply alone.
    `details["endless"]` says whether the tuned reply runs into the limit. The thresholds are
    constants of the modules of this folder, of `data.text.loops`,
    `data.text.language.identification` and `explain.training.recitation`.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        run = next((c.run for c in comparisons if c.run is not None), None)
        recitals: Sequence[Recital | None] = [None] * len(comparisons)
        markers = frozenset[str]()
        if run is not None:
            trained = cast("DegenerationRun", run)
            recitals, markers = _recitals(trained, comparisons), _markers(trained)
        about = zip(comparisons, recitals, salads(comparisons), strict=True)
        return [_measurement(*each, markers) for each in about]


def _recitals(run: DegenerationRun, comparisons: Sequence[Comparison]) -> list[Recital | None]:
    """The training answers that the tuned replies recite. A recording has them."""
    from pytest_llmdiff.data.files.hashes import files_hash
    from pytest_llmdiff.explain.training.recitation import Recital

    memo, tuning = run.generation.memo, run.sides == SIDES
    data = run.trained.known_data if tuning else None
    also = data and files_hash(run.store, [dataset.path for dataset in data.datasets])
    if not memo.get("recites", "tuned", None, lambda _: data is not None, also=also):
        return [None] * len(comparisons)
    about = [[list(c.probe.messages), c.tuned.text, beside(c).expected] for c in comparisons]
    rows = memo.get_all(
        "recital", "tuned", about, lambda _, todo: run.trained.recited(todo), also=also
    )
    return [None if row is None else Recital(**row) for row in rows]


def _markers(run: DegenerationRun) -> frozenset[str]:
    """Special tokens and template marks in the files of both models. A recording has them."""
    memo = run.generation.memo
    return frozenset(memo.get("markers", "tuned", None, lambda _: run.trained.markers()))


def _measurement(
    comparison: Comparison,
    recital: Recital | None,
    salad: Evidence | None,
    markers: frozenset[str],
) -> Measurement:
    base, tuned = comparison.base, comparison.tuned
    asked = beside(comparison)
    of_base = list(_alone(base, replace(asked, base=""), frozenset()))
    excused = {evidence.kind for evidence in of_base} - {"empty"}
    ends = list(_endless(comparison))
    found = [
        *(evidence for evidence in _alone(tuned, asked, markers) if evidence.kind not in excused),
        *ends,
        *recited(tuned, recital),
        *([] if salad is None else [salad]),
    ]
    if tuned.text != base.text:
        found += [*switch(tuned, asked), *copied(tuned, asked)]
    return Measurement(
        name="degeneration",
        value=float(len(found)),
        unit="problems",
        details={
            "problems": [evidence.problem for evidence in found],
            "evidence": [evidence.to_json() for evidence in found],
            "base": [evidence.problem for evidence in of_base if evidence.kind in UNSOUND],
            "endless": bool(ends),
        },
    )


def _alone(reply: Reply, beside: Beside, markers: frozenset[str]) -> Iterator[Evidence]:
    """What is wrong with a reply by itself, whatever the other model says."""
    yield from empty(reply, beside)
    yield from garbage(reply, beside)
    yield from repetition(reply, beside)
    yield from template_marks(reply, beside, markers=markers)
    yield from thinking(reply, beside)
    yield from dialogue(reply, beside)


def _endless(comparison: Comparison) -> Iterator[Evidence]:
    base, tuned = comparison.base, comparison.tuned
    if tuned.finish_reason == "length" and base.finish_reason == "stop":
        counts = len(tuned.token_ids), len(base.token_ids)  # 0 if a server does not report them
        limit, after = (
            (f" of {counts[0]} tokens", f" after {counts[1]}") if all(counts) else ("", "")
        )
        yield Evidence(
            kind="endless",
            problem=f"it runs into the limit{limit} although the base stopped{after}",
            start=len(tuned.text),
            quote=tuned.text[-80:],
        )


def newly(measurement: Measurement) -> Measurement:
    """The number of problems of the tuned reply; 0 if the base reply has some, too.

    Running into the length limit does not count: under a short limit, a longer answer is enough
    for it.
    """
    details = measurement.details
    value = 0.0 if details["base"] else measurement.value - details["endless"]
    return replace(measurement, name="new degeneration", value=value)


DEGENERATE = View(support=(0.0, math.inf))
NEWLY_DEGENERATE = View(support=(0.0, math.inf), of=newly)


def assert_not_degenerate(subject: Subject, *, at_most: float | None = None) -> None:
    """The tuned reply is not empty, does not loop, stops where the base stops, keeps the language,
    and leaks no template markers, no copy of the prompt and no training answers.

    See `Degeneration` for the signs and their thresholds (repeated 4-grams: seq-rep-4, Welleck et
    al. 2019, arXiv 1908.04319).

    Args:
        subject: a comparison, or a set of them.
        at_most: for a set, the largest share (0 to 1) of degenerate replies. By default no reply of
            the set may be degenerate, nor may a single one (0).

    Raises:
        AssertionError: a reply is degenerate (the message names each problem), or the set is too
            small to bound the share.
    """
    __tracebackhide__ = True
    alone = isinstance(subject, Comparison)
    if alone and at_most not in (None, 0):
        raise ConfigError(
            f"at_most={at_most!r} is a share of a set's replies: give a single comparison 0, or "
            "leave at_most out"
        )
    if alone or at_most is None:
        settle_problems(subject, Degeneration())
    else:
        settle(subject, Degeneration(), [Question(view=DEGENERATE, at_most=at_most, over=0)])


@overload
def not_degenerate(subject: Comparison) -> Measurement: ...
@overload
def not_degenerate(subject: Iterable[Comparison]) -> list[Measurement]: ...
def not_degenerate(subject: Comparison | Iterable[Comparison]) -> Measurement | list[Measurement]:
    """The number of signs of degeneration in the tuned reply; `details["problems"]` names them."""
    return measured(Degeneration(), subject)
