"""The text of a failed assertion: what the next step depends on, in a few lines.

The JSON report and the page have everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import marked, number, percent, printable, shortened
from pytest_llmdiff.data.tokens import TokenDivergence
from pytest_llmdiff.explain import load_kinds
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.kind import Kind
from pytest_llmdiff.reports.rows import harmful
from pytest_llmdiff.reports.verdict_lines import verdict_text
from pytest_llmdiff.verdicts.sets import Sample
from pytest_llmdiff.verdicts.verdict import Verdict

MOST = 8  # lines for one comparison
SHOWN = 3  # worst members of a set, and problems and notes
LINE = 2000  # columns of a line that may quote a whole prompt
REPLY = 240  # columns of a prompt or a reply: three lines of a terminal
MEMBER = 120  # columns of those of a set's member


def failure_text(
    verdicts: Sequence[Verdict],
    *,
    comparison: Comparison | None = None,
    explanation: Explanation | None = None,
) -> str:
    """The failed verdicts of one helper. Of a comparison, at most `MOST` lines: its prompt, both
    replies, where they part, and as much of what explains them as there is room for."""
    explanation = explanation or Explanation()
    failed = [verdict for verdict in verdicts if not verdict.passed]
    rerun = [f"  rerun    {explanation.rerun}"] if explanation.rerun else []
    if comparison is None:
        return "\n".join([*_findings(failed), *rerun])
    most = LINE // max(1, len(failed))
    head = ["; ".join(dict.fromkeys(_bounded(_verdict_line(v), most) for v in failed))][
        : len(failed)
    ]
    asked = _asked(comparison, REPLY)
    told = [*_accepted(comparison), *_difference(comparison, explanation.differs)]
    told += _causes(comparison, explanation)
    room = MOST - len(head) - len(asked) - len(rerun)
    system = _system(comparison) if len(told) < room else []
    return "\n".join([*head, *system, *asked, *told[: max(0, room)], *rerun])


def _verdict_line(verdict: Verdict) -> str:
    """The verdict; of a measure that counts problems, these."""
    problems = [printable(problem) for problem in verdict.measurement.details.get("problems", ())]
    if verdict.outcome != "regressed" or not problems:
        return verdict_text(verdict)
    return f"{verdict.measurement.name}: {'; '.join(problems)}"


def _findings(failed: Sequence[Verdict]) -> list[str]:
    """Verdicts on the models as a whole: each problem, and the next steps."""
    lines = list(map(verdict_text, failed))
    for verdict in failed:
        details = verdict.measurement.details
        lines += [f"  - {printable(problem)}" for problem in details.get("problems", ())]
        lines += [f"  next     {printable(step)}" for step in details.get("next", ())]
    return list(dict.fromkeys(map(_bounded, lines)))


def set_failure_text(
    failed: Sequence[tuple[Verdict, Sample]], *, explained: Mapping[int, Explanation], rerun: str
) -> str:
    """The failed verdicts on a set, and its worst members, each once. `explained` has their
    explanations by the id() of the comparison."""
    lines = [verdict_text(verdict) for verdict, _ in failed]
    details = [verdict.measurement.details for verdict, _ in failed]
    problems = list(dict.fromkeys(p for held in details for p in held.get("problems", ())))
    lines += [f"  - {printable(problem)}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  - and {len(problems) - SHOWN} more, in the JSON report (--llmdiff-json)")
    worst = [member for verdict, sample in failed for member in worst_shown(verdict, sample)]
    members = {(c.probe.id, c.base.text, c.tuned.text): (v, c) for v, c in reversed(worst)}
    for value, comparison in list(reversed(members.values()))[:SHOWN]:
        prompt = shortened(printable(comparison.probe.prompt), MEMBER)
        lines.append(f"  worst    {number(value)} {printable(comparison.probe.id)}: {prompt}")
        explanation = explained.get(id(comparison), Explanation())
        why = _causes(comparison, explanation)
        why += _difference(comparison, explanation.differs)
        lines += [f"  {line}" for line in (*_replies(comparison, MEMBER), *why[:1])]
    notes = dict.fromkeys(note for held in details for note in held.get("notes", ()))
    lines += [f"  note     {printable(note)}" for note in [*notes][:SHOWN]]
    if rerun:
        lines.append(f"  rerun    {rerun}")
    return "\n".join(map(_bounded, lines))


def _bounded(line: str, most: int = LINE) -> str:
    """The line, or if it is too long its beginning and where to find the whole."""
    cut = shortened(line, most)
    return line if cut == line else f"{cut} (whole in the JSON report, --llmdiff-json)"


def worst_shown(verdict: Verdict, sample: Sample) -> Sequence[tuple[float, Comparison]]:
    """The members of a set that a failure names, with their values: none that do no harm."""
    return harmful(verdict, sample.worst)[:SHOWN]


def _causes(comparison: Comparison, explanation: Explanation) -> list[str]:
    """What the training did before what the models do; of both the first line of each explanation
    and then the others, the costliest explanation first, which tells most."""
    kinds = load_kinds(explanation.kinds).items()
    told = [
        (kind.of_training, list(kind.lines(explanation.kinds[name], comparison)))
        for name, kind in sorted(kinds, key=_most)
    ]
    return [
        line
        for training in (True, False)
        for part in (slice(1), slice(1, None))
        for of_training, lines in told
        if of_training == training
        for line in lines[part]
    ]


def _most(named: tuple[str, Kind[Any]]) -> float:
    budget = named[1].budget
    return math.inf if budget is None else budget.most


def _system(comparison: Comparison) -> list[str]:
    first = comparison.probe.messages[0]
    if first["role"] != "system" or comparison.given is not None:
        return []
    return [f"  system   {shortened(printable(first['content']), REPLY)}"]


def _asked(comparison: Comparison, most: int) -> list[str]:
    """The prompt, or the original and the changed one, with both replies to each."""
    if comparison.given is not None:
        before = [shortened(printable(m["content"]), most) for m in comparison.given.after]
        read = shortened(printable(comparison.given.text), most)
        return [*(f"  prompt   {text}" for text in before[-1:]), f"  read     {read}"]
    original = comparison.original
    prompts = [("prompt", comparison)]
    if original is not None:
        prompts = [("original", original), ("changed", comparison)]
    return [
        line
        for title, each in prompts
        for line in (
            f"  {title:<8} {shortened(printable(each.probe.prompt), most)}",
            *_replies(each, most),
        )
    ]


def _replies(comparison: Comparison, most: int) -> list[str]:
    """Both replies, with a mark where they part."""
    if comparison.given is not None:
        return []
    texts = comparison.base.text, comparison.tuned.text
    at = first_difference(*texts)
    return [
        f"  {side:<8} {marked(text, at, most) if text else '(empty)'}"
        for side, text in zip(comparison.sides, texts, strict=True)
    ]


def _accepted(comparison: Comparison) -> list[str]:
    if comparison.accepted is None:
        return []
    return [f"  accepted {shortened(printable(comparison.accepted.text), REPLY)}"]


def _difference(comparison: Comparison, t: TokenDivergence | None) -> list[str]:
    """What the mark in the replies does not show: how sure both models were of the next token."""
    base, tuned = comparison.base, comparison.tuned
    first, second = comparison.sides
    if comparison.given is not None or comparison.original is not None:
        return []
    if base.token_ids and base.token_ids == tuned.token_ids:
        return ["  the replies are the same, token for token"]
    index = first_difference(base.token_ids, tuned.token_ids)
    if t is not None and index is not None and index < len(base.token_ids):
        p = [
            percent(math.exp(x))
            for x in (t.base_logprob, t.tuned_logprob,
                      t.tuned_text_tuned_logprob, t.tuned_text_base_logprob)
        ]  # fmt: skip
        return [
            f'  differs from token {index + 1}: {first} says "{printable(t.text)}" ({p[0]}, '
            f'{second} {p[1]}), {second} says "{printable(t.tuned_text)}" ({p[2]}, {first} {p[3]})'
        ]
    if base.text == tuned.text:
        return ["  the texts of the replies are the same"]
    return []
