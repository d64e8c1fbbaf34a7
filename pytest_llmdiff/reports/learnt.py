"""Where a change was learnt, as text: training examples, parts of the adapter, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdiff.explain.carriers import Carriers
from pytest_llmdiff.explain.training.values import Influences
from pytest_llmdiff.reports.text import counted, number, printable, shortened

EXAMPLES = 3  # that are named in a line
PARTS = 6
WORDS = 80  # characters of an example's prompt and of its answer
ADVICE: Mapping[str, str] = {
    "few": "a few examples taught this reply, {alike} of {judged} looked at: read them, and those "
    "that are like them, before changing training parameters",
    "most": "most examples push towards this reply, {alike} of {judged} looked at: it is what they "
    "have in common; change the data as a whole, or train more gently",
    "none": "no example of {judged} looked at pushes towards this reply (the first has {first}): "
    "where the base would not give it either, look at chat template, learning rate and epochs "
    "before the data",
}


def learnt_lines(found: Influences | None) -> list[str]:
    """Lines of a failure: the examples that push most, and what to do about it."""
    if found is None or not found.examples:
        return []
    first, *others = found.examples[:EXAMPLES]
    prompt, answer = (shortened(printable(text), WORDS) for text in (first.prompt, first.answer))
    named = [f'"{prompt}" → "{answer}" (gradient {first.score:.2f}, {_place(vars(first))})']
    named += [f"{_place(vars(other))} ({other.score:.2f})" for other in others]
    lines = [f"  learnt   {', '.join(named)}"]
    advice = advice_of(found.pattern, found.alike, found.judged, first.score)
    return lines + [f"  next     {advice}"] * bool(advice)


def advice_of(pattern: str | None, alike: int, judged: int, first: float | None) -> str:
    """What follows from how many examples push towards a reply; empty where nothing does."""
    text = "" if pattern is None else ADVICE[pattern]
    return text.format(alike=alike, judged=judged, first=number(first))


def carried_lines(found: Carriers | None) -> list[str]:
    """The line of a failure that names the layers which carry the change."""
    if found is None or not found.fewest:
        return []
    kinds = ", ".join(f"{part.name} {percent(part.alone)}" for part in found.kinds[:EXAMPLES])
    layers = layers_text(found.fewest, len(found.layers))
    return [f"  carried  {percent(found.kept)} of the change by {layers}; alone {kinds}"]


def layers_text(names: Sequence[str], of: int) -> str:
    """How many layers out of so many, and their names, those that matter most first."""
    shown = ", ".join(printable(name) for name in names[:PARTS])
    more = f" and {len(names) - PARTS} more" if len(names) > PARTS else ""
    return f"{len(names)} of {counted(of, 'layer')}: {shown}{more}"


def percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def _place(example: Mapping[str, Any]) -> str:
    return f"{printable(example['dataset'])} {example['number']}"
