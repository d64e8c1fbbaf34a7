"""The text of a failed assertion: every fact that the next step depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.text.printing import marked, number, printable, shortened
from pytest_llmdiff.data.tokens import TokenDivergence
from pytest_llmdiff.explain import load_kinds
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.reports.rows import harmful
from pytest_llmdiff.reports.verdict_lines import verdict_text
from pytest_llmdiff.verdicts.sets import Sample
from pytest_llmdiff.verdicts.verdict import Verdict

SHOWN = 3  # worst members of a set
LINE = 2000  # columns of a line that may quote a whole prompt


def failure_text(
    verdicts: Sequence[Verdict],
    *,
    comparison: Comparison | None = None,
    explanation: Explanation | None = None,
) -> str:
    """The failed verdicts of one helper, with the prompt, both replies, and what explains them."""
    explanation = explanation or Explanation()
    lines = [verdict_text(verdict) for verdict in verdicts if not verdict.passed]
    for verdict in verdicts:
        details = verdict.measurement.details
        lines += [f"  - {printable(problem)}" for problem in details.get("problems", ())]
        lines += [f"  next     {printable(step)}" for step in details.get("next", ())]
    lines = list(dict.fromkeys(map(_bounded, lines)))
    if comparison is not None:
        lines += _comparison_lines(comparison, explanation.differs)
        lines += _explained_lines(comparison, explanation, short=False)
    if explanation.rerun:
        lines.append(f"  rerun    {explanation.rerun}")
    return "\n".join(lines)


def set_failure_text(
    failed: Sequence[tuple[Verdict, Sample]], *, explained: Mapping[int, Explanation], rerun: str
) -> str:
    """The failed verdicts on a set, and its worst members. `explained` has their explanations by
    the id() of the comparison."""
    lines = [verdict_text(verdict) for verdict, _ in failed]
    told: set[tuple[str, str, str]] = set()
    for verdict, sample in failed:
        problems = verdict.measurement.details.get("problems", ())
        lines += [f"  - {printable(problem)}" for problem in problems]
        for value, comparison in worst_shown(verdict, sample):
            member = comparison.probe.id, comparison.base.text, comparison.tuned.text
            again = " (as above)" if member in told else ""
            lines.append(f"  worst    {number(value)} {printable(comparison.probe.id)}{again}")
            if again:
                continue
            told.add(member)
            explanation = explained.get(id(comparison), Explanation())
            lines += [f"  {line}" for line in _member_lines(comparison, explanation)]
    notes = (n for verdict, _ in failed for n in verdict.measurement.details.get("notes", ()))
    lines = [*map(_bounded, lines), *(f"  note     {printable(n)}" for n in dict.fromkeys(notes))]
    if rerun:
        lines.append(f"  rerun    {rerun}")
    return "\n".join(lines)


def _bounded(line: str) -> str:
    """The line, or if it is too long its beginning and where to find the whole."""
    cut = shortened(line, LINE)
    return line if cut == line else f"{cut} (whole in the JSON report, --llmdiff-json)"


def _member_lines(comparison: Comparison, explanation: Explanation) -> list[str]:
    """One member of a set: shorter than a comparison that fails by itself."""
    lines = _comparison_lines(comparison, explanation.differs)
    if explanation.differs is None:
        del lines[-1]  # the marks in the replies show where they differ
    return lines + _explained_lines(comparison, explanation, short=True)


def _explained_lines(comparison: Comparison, explanation: Explanation, *, short: bool) -> list[str]:
    return [
        line
        for name, kind in load_kinds(explanation.kinds).items()
        for line in kind.lines(explanation.kinds[name], comparison, short)
    ]


def worst_shown(verdict: Verdict, sample: Sample) -> Sequence[tuple[float, Comparison]]:
    """The members of a set that a failure names, with their values: none that do no harm."""
    return harmful(verdict, sample.worst)[:SHOWN]


def _comparison_lines(comparison: Comparison, differs: TokenDivergence | None) -> list[str]:
    lines = []
    if comparison.given is not None:
        before = [shortened(printable(m["content"])) for m in comparison.given.after]
        read = shortened(printable(comparison.given.text))
        return [*(f"  prompt   {text}" for text in before), f"  read     {read}", "  (no replies)"]
    if comparison.probe.messages[0]["role"] == "system":
        system = comparison.probe.messages[0]["content"]
        lines.append(f"  system   {shortened(printable(system))}")
    if (original := comparison.original) is not None:
        lines += _prompt_lines("original", original)
    lines += _prompt_lines("prompt" if original is None else "changed", comparison)
    if comparison.accepted is not None:
        lines.append(f"  accepted {shortened(printable(comparison.accepted.text))}")
    lines.append(f"  {_difference(comparison, differs)}")
    return lines


def _prompt_lines(title: str, comparison: Comparison) -> list[str]:
    base, tuned = comparison.base.text, comparison.tuned.text
    at = first_difference(base, tuned)
    first, second = comparison.sides
    return [
        f"  {title:<8} {shortened(printable(comparison.probe.prompt))}",
        f"  {first:<8} {marked(base, at) if base else '(empty)'}",
        f"  {second:<8} {marked(tuned, at) if tuned else '(empty)'}",
    ]


def _difference(comparison: Comparison, t: TokenDivergence | None) -> str:
    base, tuned = comparison.base, comparison.tuned
    first, second = comparison.sides
    at = first_difference(base.text, tuned.text)
    if base.token_ids and base.token_ids == tuned.token_ids:
        return "the replies are the same, token for token"
    index = first_difference(base.token_ids, tuned.token_ids)
    if t is not None and index is not None and index < len(base.token_ids):
        p = [
            f"{math.exp(x):.2f}"
            for x in (t.base_logprob, t.tuned_logprob,
                      t.tuned_text_tuned_logprob, t.tuned_text_base_logprob)
        ]  # fmt: skip
        return (
            f'differs from token {index + 1}: {first} "{printable(t.text)}" ({p[0]} / {second} '
            f'{p[1]}), {second} "{printable(t.tuned_text)}" ({p[2]} / {first} {p[3]})'
        )
    if at is None:
        return "the texts of the replies are the same"
    words = [printable(shortened(text[at : at + 24], 24)) for text in (base.text, tuned.text)]
    return f'differs from character {at + 1}: {first} "{words[0]}", {second} "{words[1]}"'
