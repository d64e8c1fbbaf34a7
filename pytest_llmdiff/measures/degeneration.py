"""Degeneration: replies that are empty, loop, never stop, switch language, leak markers of the chat
template, or repeat the prompt or a training answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, cast, overload

from pytest_llmdiff.data.comparison import SIDES, Comparison, Measurement, Reply, Run
from pytest_llmdiff.data.prompts import likeness, normalised
from pytest_llmdiff.data.text.languages import language_of, prose, units
from pytest_llmdiff.data.text.loops import loop_of
from pytest_llmdiff.data.text.scripts import main_script, may_be_japanese
from pytest_llmdiff.data.training.markers import leaked
from pytest_llmdiff.measures.settle import Question, settle, settle_problems
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.explain.training.known import KnownTraining
    from pytest_llmdiff.explain.training.recitation import Recital
    from pytest_llmdiff.generation.generator import ReplyGenerator
    from pytest_llmdiff.store import Store


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


# Shorter prompts, in words (in Chinese, characters), may be echoed legitimately: greetings are.
COPIED_FROM = 5
SHOWN = 80  # characters of a recited answer


@dataclass(frozen=True, kw_only=True)
class Degeneration:
    """The number of signs of degeneration in the tuned reply.

    The signs: it is empty; it loops; it runs into the length limit although the base reply stopped;
    it is in a language of neither the base reply nor the prompt; it contains markers of chat
    templates; it copies the prompt; it recites the training answer to an unrelated prompt. The last
    three count only if the base reply does not do the same.

    `details["problems"]` names them. `details["base"]` names those of the base reply that show in a
    reply alone (empty, looping). `details["endless"]` says whether it runs into the limit. The
    thresholds are constants of this module, of `data.text.loops`, `data.text.languages` and
    `explain.training.recitation`.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        run = next((c.run for c in comparisons if c.run is not None), None)
        recitals: Sequence[Recital | None] = [None] * len(comparisons)
        markers = frozenset[str]()
        if run is not None:
            trained = cast("DegenerationRun", run)
            recitals, markers = _recitals(trained, comparisons), _markers(trained)
        return [
            _measurement(comparison, recital, markers)
            for comparison, recital in zip(comparisons, recitals, strict=True)
        ]


def _recitals(run: DegenerationRun, comparisons: Sequence[Comparison]) -> list[Recital | None]:
    """The training answers that the tuned replies recite. A recording has them."""
    from pytest_llmdiff.explain.training.recitation import Recital
    from pytest_llmdiff.store import files_hash

    memo, tuning = run.generation.memo, run.sides == SIDES
    data = run.trained.known_data if tuning else None
    also = data and files_hash(run.store, [dataset.path for dataset in data.datasets])
    if not memo.get("recites", "tuned", None, lambda _: data is not None, also=also):
        return [None] * len(comparisons)
    about = [[list(c.probe.messages), c.tuned.text, _expected(c)] for c in comparisons]
    rows = memo.get_all(
        "recital", "tuned", about, lambda _, todo: run.trained.recited(todo), also=also
    )
    return [None if row is None else Recital(**row) for row in rows]


def _markers(run: DegenerationRun) -> frozenset[str]:
    """Special tokens and template marks in the files of both models. A recording has them."""
    memo = run.generation.memo
    return frozenset(memo.get("markers", "tuned", None, lambda _: run.trained.markers()))


def _measurement(
    comparison: Comparison, recital: Recital | None, markers: frozenset[str]
) -> Measurement:
    base, tuned = comparison.base, comparison.tuned
    looping = loop_of(base) is not None
    problems = _alone(tuned, also=", as does the base's" if looping else "")
    endless = tuned.finish_reason == "length" and base.finish_reason == "stop"
    if endless:
        counts = len(tuned.token_ids), len(base.token_ids)  # 0 if a server does not report them
        limit, after = (
            (f" of {counts[0]} tokens", f" after {counts[1]}") if all(counts) else ("", "")
        )
        problems.append(f"it runs into the limit{limit} although the base stopped{after}")
    problems += [*_switched(comparison), *_leaked(comparison, markers)]
    problems += [*_copied(comparison), *_recited(recital)]
    return Measurement(
        name="degeneration",
        value=float(len(problems)),
        unit="problems",
        details={"problems": problems, "base": _alone(base), "endless": endless},
    )


def _switched(comparison: Comparison) -> Iterator[str]:
    replies = (comparison.tuned.text, comparison.base.text)
    texts = [prose(text) for text in (*replies, comparison.probe.prompt)]
    scripts, languages = [main_script(t) for t in texts], [language_of(t) for t in texts]
    if scripts[0] == "CJK" and "JAPANESE" in scripts[1:] and may_be_japanese(texts[0]):
        return
    if scripts[0] is not None and scripts[1] is not None and scripts[0] not in scripts[1:]:
        yield f"the reply is in {scripts[0].lower()} script, the base's in {scripts[1].lower()}"
    elif languages[0] is not None and languages[1] is not None and (
        languages[0] not in languages[1:]
    ):  # fmt: skip
        yield f"the reply is in {languages[0]}, the base's in {languages[1]}"


def _leaked(comparison: Comparison, markers: frozenset[str]) -> Iterator[str]:
    marks = leaked(comparison.tuned.text, own=markers, beside=_expected(comparison))
    if marks:
        named = ", ".join(map(repr, marks[:3])) + (", …" if len(marks) > 3 else "")
        yield f"the reply contains markers of a chat template: {named}"


def _copied(comparison: Comparison) -> Iterator[str]:
    prompt = comparison.probe.prompt
    text = normalised(prompt)
    if len(units(prompt)) < COPIED_FROM or likeness(text, normalised(comparison.base.text)):
        return
    if likeness(text, normalised(comparison.tuned.text)):
        yield "the reply is a copy of the prompt"


def _recited(recital: Recital | None) -> Iterator[str]:
    if recital is not None:
        words = recital.words if len(recital.words) <= SHOWN else recital.words[:SHOWN] + "…"
        yield (
            f"the reply recites the answer of training example {recital.number} of "
            f"{recital.dataset} ({recital.prompt[:SHOWN]!r}): {words!r}"
        )


def _expected(comparison: Comparison) -> str:
    """What a reply may contain without being degenerate: the conversation and the base reply."""
    asked = (message["content"] for message in comparison.probe.messages)
    return "\n".join([*asked, comparison.base.text])


def newly(measurement: Measurement) -> Measurement:
    """The number of problems of the tuned reply; 0 if the base reply has some, too.

    Running into the length limit does not count: under a short limit, a longer answer is enough
    for it.
    """
    details = measurement.details
    value = 0.0 if details["base"] else measurement.value - details["endless"]
    return replace(measurement, name="new degeneration", value=value)


def _alone(reply: Reply, also: str = "") -> list[str]:
    """What is wrong with a reply by itself, whatever the other model says."""
    problems = []
    if not reply.text.strip():
        why = "only reasoning, cut by the length limit" if reply.reasoning else "nothing"
        problems.append(f"the reply is empty ({why})")
    if (loop := loop_of(reply)) is not None:
        problems.append(f"the reply loops{also}: {loop}")
    return problems


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
            the set may be degenerate.

    Raises:
        AssertionError: a reply is degenerate (the message names each problem), or the set is too
            small to bound the share.
    """
    __tracebackhide__ = True
    if at_most is None:
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
