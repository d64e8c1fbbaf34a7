"""Replies that repeat themselves although nobody asked for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.prompts import normalised
from pytest_llmdiff.data.text.asked_for import Form
from pytest_llmdiff.data.text.language.words import units
from pytest_llmdiff.data.text.loops import Kind, Loop, is_structure, loop_of
from pytest_llmdiff.measures.degeneration.evidence import Beside, Evidence

# What may ask for each kind of loop.
WANTED: Mapping[Kind, tuple[Form, ...]] = {
    "signs": ("repetition", "drawing", "marks", "emoji"),
    "words": ("repetition", "verse", "emoji"),
    "variations": ("repetition", "verse", "list", "drawing"),
    "tokens": ("repetition", "verse", "list", "drawing", "marks", "emoji"),
}
# Characters of a rule or of blank cells that end a table or a section; a longer one does not stop.
LONGEST_RULE = 200
# A unit of so many words that stands in the prompt, and is no more of it than this share, is given.
GIVEN_UNITS, GIVEN_SHARE = 3, 0.8


def repetition(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    loop = loop_of(reply)
    if loop is None or beside.asks_for(*WANTED[loop.kind]) or _is_rule(reply.text, loop):
        return
    if _is_given(loop.unit, beside):
        return
    yield Evidence(
        kind="loop",
        problem=f"the reply loops: {loop.text}",
        start=loop.start,
        quote=loop.unit,
    )


def _is_given(unit: str, beside: Beside) -> bool:
    """Whether what the reply repeats is some words of the prompt: it may be asked to."""
    said, prompt = normalised(unit), normalised(beside.prompt)
    is_part = said in prompt and len(said) < GIVEN_SHARE * len(prompt)
    return is_part and len(units(unit)) >= GIVEN_UNITS


def _is_rule(text: str, loop: Loop) -> bool:
    """Whether a loop of signs is a line, or blank cells, at the end of other content."""
    if loop.kind != "signs" or any(map(str.isdigit, loop.unit)):
        return False
    if not set(loop.unit) <= set("-–—_=~*#|+:. \n│─━═"):
        return False
    head = text[: loop.start].rsplit("\n", 1)[0]
    return any(map(str.isalpha, text)) and (
        len(text) - loop.start <= LONGEST_RULE or (is_structure(text) and len(head) > 1)
    )
