"""Degeneration: replies that are empty, loop, never stop, change language, show marks of the chat
template, or repeat the prompt or an answer of the training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

from pytest_llmdiff.data.comparison import Comparison, Measurement, Reply
from pytest_llmdiff.data.prompts import likeness, normalised
from pytest_llmdiff.data.text.languages import language_of, prose, units
from pytest_llmdiff.data.text.loops import loop_of
from pytest_llmdiff.data.text.scripts import main_script, may_be_japanese
from pytest_llmdiff.data.training.markers import leaked
from pytest_llmdiff.measures.settle import Question, settle, settle_problems
from pytest_llmdiff.measures.subject import Subject, measured
from pytest_llmdiff.verdicts.views import View

if TYPE_CHECKING:
    from pytest_llmdiff.explain.training.recitation import Recital


# A prompt of fewer words (characters of Chinese) may well be echoed: a greeting is.
COPIED_FROM = 5
SHOWN = 80  # characters of a recited answer


@dataclass(frozen=True, kw_only=True)
class Degeneration:
    """How many of these hold for the tuned reply: it is empty; it loops; it runs into the length
    limit where the base stopped; it is in another language than the base's reply and the prompt;
    it holds marks of chat templates; it is a copy of the prompt; it recites a training answer to
    an unrelated prompt. The last three count only where the base's reply does not do the same.

    `details["problems"]` names them; `details["base"]` those that the base's reply has, as far as
    they can be told of a reply alone (empty, looping); `details["endless"]` whether it runs into
    the limit. The thresholds are constants of this module, of `scorers.languages` and of
    `recitation`.
    """

    def measure(self, comparisons: Sequence[Comparison]) -> list[Measurement]:
        run = next((c.run for c in comparisons if c.run is not None), None)
        recitals: Sequence[Recital | None] = [None] * len(comparisons)
        if run is not None:
            recitals = run.recitals(comparisons, [_expected(c) for c in comparisons])
        return [
            _measurement(comparison, recital)
            for comparison, recital in zip(comparisons, recitals, strict=True)
        ]


def _measurement(comparison: Comparison, recital: Recital | None) -> Measurement:
    base, tuned = comparison.base, comparison.tuned
    looping = loop_of(base) is not None
    problems = _alone(tuned, also=", as does the base's" if looping else "")
    endless = tuned.finish_reason == "length" and base.finish_reason == "stop"
    if endless:
        counts = len(tuned.token_ids), len(base.token_ids)  # 0 where a server does not tell them
        limit, after = (
            (f" of {counts[0]} tokens", f" after {counts[1]}") if all(counts) else ("", "")
        )
        problems.append(f"it runs into the limit{limit} where the base stopped{after}")
    problems += [*_switched(comparison), *_leaked(comparison)]
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


def _leaked(comparison: Comparison) -> Iterator[str]:
    run = comparison.run
    marks = leaked(
        comparison.tuned.text,
        own=frozenset() if run is None else run.markers,
        beside=_expected(comparison),
    )
    if marks:
        named = ", ".join(map(repr, marks[:3])) + (", …" if len(marks) > 3 else "")
        yield f"the reply holds marks of a chat template: {named}"


def _copied(comparison: Comparison) -> Iterator[str]:
    prompt = comparison.probe.prompt
    text = normalised(prompt)
    if len(units(prompt)) < COPIED_FROM or likeness(text, normalised(comparison.base.text)):
        return
    if likeness(text, normalised(comparison.tuned.text)):
        yield "the reply is a copy of the prompt"


def _recited(found: Recital | None) -> Iterator[str]:
    if found is not None:
        words = found.words if len(found.words) <= SHOWN else found.words[:SHOWN] + "…"
        yield (
            f"the reply recites the answer of training example {found.number} of {found.dataset} "
            f"({found.prompt[:SHOWN]!r}): {words!r}"
        )


def _expected(comparison: Comparison) -> str:
    """What a reply may hold without blame: the conversation's words and the base's."""
    asked = (message["content"] for message in comparison.probe.messages)
    return "\n".join([*asked, comparison.base.text])


def newly(measurement: Measurement) -> Measurement:
    """The problems of the tuned reply where the base's is sound; none where it is not.

    Running into the length limit is not among them: under a short limit it is no more than a
    longer answer.
    """
    details = measurement.details
    value = 0.0 if details["base"] else measurement.value - details["endless"]
    return replace(measurement, name="new degeneration", value=value)


def _alone(reply: Reply, also: str = "") -> list[str]:
    """What is wrong with a reply whatever the other model says."""
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
    and leaks neither marks of a template nor the prompt nor answers of the training.

    Args:
        subject: a comparison or a set of them.
        at_most: the largest allowed share of degenerate replies of a set; without it there may be
            none among those of the set.

    Raises:
        AssertionError: it does not; the message names each problem. Or the set is too small to
            bound the share.
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
    """Number of signs of degeneration in the tuned reply; `details["problems"]` names them."""
    return measured(Degeneration(), subject)
