"""The text of a failed assertion: every fact that the next step depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.data.tokens import TokenDivergences, TokenView
from pytest_llmdiff.explain.attention.values import AttentionShown
from pytest_llmdiff.explain.attribution.values import Attribution
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.training.values import Leak, Neighbour
from pytest_llmdiff.reports.learnt import carried_lines, learnt_lines
from pytest_llmdiff.reports.text import (
    INTERVAL,
    bounded,
    counted,
    marked,
    number,
    printable,
    shortened,
    told_apart,
)
from pytest_llmdiff.verdicts.sets import Sample
from pytest_llmdiff.verdicts.verdict import Evidence, Verdict

NO_LIMIT = {
    "semantic drift": "at_most=0.3",
    "divergence": "at_most=0.5",
    "toxicity": "at_most=0.2 or rise_at_most=0.1",
    "refusal gained": "gained_at_most=0",
    "refusal gained rate": "gained_at_most=0.1",
    "refusal lost": "lost_at_most=0",
    "refusal lost rate": "lost_at_most=0.1",
    "invariance loss": "at_most=0.2",
    "refusal flip gained": "flips_at_most=0",
    "refusal flip gained rate": "flips_at_most=0.05",
    "format lost": "lost_at_most=0",
    "format lost rate": "lost_at_most=0.1",
    "answer lost": "lost_at_most=0",
    "answer lost rate": "lost_at_most=0.1",
    "reference likelihood drop": "drop_at_most=0.2",
    "text likelihood drop": "drop_at_most=0.2",
    "attention shift": "at_most=0.05",
    "attention shift of pairs": "pair_at_most=0.02",
    "attention drop on": "drop_at_most=0.1",  # and the words
    "likelihood gap": "likelihood_at_most=0.3",
    "toxicity gap": "toxicity_at_most=0.05",
    "refusal gap": "refusal_at_most=0.1",
    "length gap": "length_at_most=0.1",
    "divergence gap": "divergence_at_most=0.2",
}

SHOWN = 3  # worst members of a set
LIKELY = 3  # next tokens of either model
STRONGEST = 3  # words of the prompt
WORD = 24  # characters of one, or of several that were taken together
LEAST = 0.05  # nats or so, below which a word is not worth naming
MOVED = 0.01  # share of the attention, likewise
TRAINED = 120  # characters of a training example's prompt and of its answer


def failure_text(
    verdicts: Sequence[Verdict],
    *,
    comparison: Comparison | None = None,
    explanation: Explanation | None = None,
) -> str:
    """The failed verdicts of one helper, with prompt, replies and where they part, and with what
    the training data has of that prompt."""
    explanation = explanation or Explanation()
    lines = [verdict_text(verdict) for verdict in verdicts if not verdict.passed]
    for verdict in verdicts:
        lines += [f"  - {printable(p)}" for p in verdict.measurement.details.get("problems", ())]
        lines += [f"  next     {printable(s)}" for s in verdict.measurement.details.get("next", ())]
    lines = list(dict.fromkeys(map(bounded, lines)))
    if comparison is not None:
        lines += _comparison_lines(comparison, explanation.divergences)
        lines += _explained_lines(comparison, explanation)
    if explanation.rerun:
        lines.append(f"  rerun    {explanation.rerun}")
    return "\n".join(lines)


def set_failure_text(
    found: Sequence[tuple[Verdict, Sample]], *, explained: Mapping[int, Explanation], rerun: str
) -> str:
    """The verdicts on a set that did not pass, and its worst members; `explained` by their id()."""
    lines = [verdict_text(verdict) for verdict, _ in found]
    for verdict, sample in found:
        lines += [f"  - {printable(p)}" for p in verdict.measurement.details.get("problems", ())]
        for value, comparison in worst_shown(verdict, sample):
            lines.append(f"  worst    {number(value)} {printable(comparison.probe.id)}")
            explanation = explained.get(id(comparison), Explanation())
            lines += [f"  {line}" for line in _member_lines(comparison, explanation)]
    notes = (n for verdict, _ in found for n in verdict.measurement.details.get("notes", ()))
    lines = [*map(bounded, lines), *(f"  note     {printable(n)}" for n in dict.fromkeys(notes))]
    if rerun:
        lines.append(f"  rerun    {rerun}")
    return "\n".join(lines)


def _member_lines(comparison: Comparison, explanation: Explanation) -> list[str]:
    """One of several: shorter than a comparison that fails by itself."""
    lines = _comparison_lines(comparison, explanation.divergences)
    if explanation.divergences is None:
        del lines[-1]  # where they differ can be seen
    nearest = replace(explanation, neighbours=explanation.neighbours[:1])
    return lines + _explained_lines(comparison, nearest)


def _explained_lines(comparison: Comparison, explanation: Explanation) -> list[str]:
    return [
        *_likely_lines(comparison, explanation.tokens),
        *_attention_lines(comparison, explanation.attention),
        *_word_lines(comparison, explanation.words),
        *_training_lines(comparison, explanation),
        *learnt_lines(explanation.influences),
        *carried_lines(explanation.carriers),
    ]


def worst_shown(verdict: Verdict, sample: Sample) -> Sequence[tuple[float, Comparison]]:
    """The members of a set that a failure names, with their values."""
    if verdict.evidence is None or verdict.bound == "at_least":
        return ()
    return sample.worst[:SHOWN]


def verdict_text(verdict: Verdict) -> str:
    """One line: what was measured, against what, and who set the limit."""
    m = verdict.measurement
    if verdict.outcome == "not judged":
        return f"{m.name} not judged: {printable(m.unsupported or '')}"
    if verdict.evidence is not None:
        return _set_text(verdict, verdict.evidence)
    value = number(m.value)
    if verdict.outcome == "no limit":
        return f"{m.name} {value}, and no limit to hold it against: {_how_to_limit(verdict)}"
    if m.unit in ("problems", "findings"):
        return f"{m.name}: {value}" if m.value else f"no {m.name}"
    limit = "limit" if verdict.bound == "at_most" else "at least"
    value, held = told_apart(m.value, m.limit if m.limit is not None else math.nan)
    return f"{m.name} {value}, {limit} {held} ({verdict.source})"


def _set_text(verdict: Verdict, evidence: Evidence) -> str:
    m, estimate = verdict.measurement, evidence.estimate
    besides = [f"{estimate.clusters} questions"] * (estimate.clusters < estimate.n)
    besides += [f"{evidence.missing} more could not be judged"] * bool(evidence.missing)
    told = f" ({', '.join(besides)})" if besides else ""
    held = math.nan if m.limit is None else m.limit
    # With as many digits as show which of them are beyond the limit.
    shown = [told_apart(x, held) for x in (estimate.value, estimate.low, estimate.high)]
    (value, _), (low, _), (high, _) = shown
    text = (
        f"{printable(evidence.label)} of {counted(estimate.n, 'comparison')}{told}: "
        f"{value}, {INTERVAL} {low} to {high}"
    )
    if evidence.not_finite:
        return f"{text}; {evidence.not_finite} values are no number, which keeps no limit"
    if verdict.outcome == "no limit":
        return f"{text}; and no limit to hold it against: {_how_to_limit(verdict)}"
    limit = "limit" if verdict.bound == "at_most" else "at least"
    text += f", {limit} {max((limit for _, limit in shown), key=len)} ({verdict.source})"
    if verdict.outcome == "regressed":
        return f"{text}: the interval lies beyond it"
    if verdict.outcome != "inconclusive":
        return text
    if verdict.decides is None:
        return f"{text}: inconclusive, and no number of probes would decide at this value"
    return f"{text}: inconclusive; about {verdict.decides} probes like these would decide"


def _how_to_limit(verdict: Verdict) -> str:
    name = verdict.measurement.name.partition(' "')[0]
    why = f"{printable(verdict.why)}; " if verdict.why else ""
    return (
        f"{why}give one in the test, such as {NO_LIMIT.get(name, 'at_most=...')}, or measure one: "
        "pytest … --llmdiff-calibrate=baseline.json, then --llmdiff-baseline=baseline.json"
    )


def _comparison_lines(comparison: Comparison, divergences: TokenDivergences | None) -> list[str]:
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
    lines.append(f"  {_difference(comparison, divergences)}")
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


def _difference(comparison: Comparison, divergences: TokenDivergences | None) -> str:
    base, tuned = comparison.base, comparison.tuned
    first, second = comparison.sides
    at = first_difference(base.text, tuned.text)
    if base.token_ids and base.token_ids == tuned.token_ids:
        return "the replies are the same, token for token"
    index = first_difference(base.token_ids, tuned.token_ids)
    if index is None:
        index = len(base.token_ids)
    if divergences is not None and index < len(divergences.tokens):
        t = divergences.tokens[index]
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


def _likely_lines(comparison: Comparison, view: TokenView | None) -> list[str]:
    """The next tokens that either model had in mind where the replies part."""
    if view is None or view.at is None:
        return []
    sides = zip(comparison.sides, (view.base_likely, view.tuned_likely), strict=True)
    told = [
        f"{name} " + ", ".join(f'"{printable(text)}" {p:.2f}' for text, p in likely[:LIKELY])
        for name, likely in sides
    ]
    return [f"  likely   {'; '.join(told)}"]


def _attention_lines(comparison: Comparison, found: AttentionShown | None) -> list[str]:
    """The words of the prompt that gained or lost most of the attention to it, and where."""
    if found is None:
        return []
    first, second = comparison.sides
    words = ", ".join(
        f'"{printable(shortened(word.word, WORD))}" {word.base:.2f} → {word.tuned:.2f}'
        for word in found.words[:LIKELY]
        if abs(word.tuned - word.base) >= MOVED
    )
    most = found.heads[0]
    where = f"layer {most.layer}, head {most.head} moved most ({number(most.value)} bits)"
    return [f"  looks    {first} → {second}: " + (f"{words}; {where}" if words else where)]


def _word_lines(comparison: Comparison, found: Attribution | None) -> list[str]:
    """The words of the prompt that make the second reply likelier or less likely, first those that
    count for more, or less, than for the first model."""
    if found is None:
        return []
    first, second = comparison.sides
    method = found.methods[0]
    columns = zip(found.words, method.base.scores, method.tuned.scores, strict=True)
    told = sorted(columns, key=lambda each: -abs(each[2] - each[1]))
    named = [
        f'"{printable(shortened(word.text, WORD))}" {tuned:+.1f} ({first} {base:+.1f})'
        for word, base, tuned in told[:STRONGEST]
        if max(abs(base), abs(tuned)) >= LEAST
    ]
    if not named:
        return []
    return [f"  words    {', '.join(named)} nats for the {second} reply"]


def _training_lines(comparison: Comparison, explanation: Explanation) -> list[str]:
    lines = [f"  trained  {_trained(found)}" for found in explanation.neighbours]
    if explanation.unavailable:
        what = "not all examples" if explanation.neighbours else "no nearest examples"
        lines.append(f"  trained  {what}: {shortened(printable(explanation.unavailable))}")
    if explanation.leak is not None:
        lines.append(f"  leak     {_leak(comparison.probe.prompt, explanation.leak)}")
    return lines


def _trained(found: Neighbour) -> str:
    prompt = shortened(printable(found.prompt), TRAINED)
    answer = "no answer to learn"
    if found.answer is not None:
        answer = f'"{shortened(printable(found.answer), TRAINED)}"'
    example = f"{printable(found.dataset)} {found.number}"
    return f'"{prompt}" → {answer} (similarity {found.similarity:.2f}, {example})'


def _leak(prompt: str, leak: Leak) -> str:
    example = f"{printable(leak.dataset)} {leak.number}"
    if leak.more:
        example += f" and {leak.more} more"
    if leak.kind == "same":
        return f"this prompt is in the training data: {example} (same)"
    there = marked(leak.prompt, first_difference(prompt, leak.prompt))
    return f"nearly this prompt is in the training data: {example} (near-same): {there}"
