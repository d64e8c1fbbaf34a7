"""Replies that are a copy: of the prompt, or of a training answer to another prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_llmdiff.data.comparison import Reply
from pytest_llmdiff.data.prompts import likeness, normalised
from pytest_llmdiff.data.text.language.words import units
from pytest_llmdiff.measures.degeneration.evidence import SHOWN, Beside, Evidence

if TYPE_CHECKING:
    from pytest_llmdiff.explain.training.recitation import Recital

# Shorter prompts, in words (in Chinese, characters), may be echoed legitimately: greetings are.
COPIED_FROM = 5


def copied(reply: Reply, beside: Beside) -> Iterator[Evidence]:
    text = normalised(beside.prompt)
    if len(units(beside.prompt)) < COPIED_FROM or likeness(text, normalised(beside.base)):
        return
    if likeness(text, normalised(reply.text)):
        yield Evidence(
            kind="copy", problem="the reply is a copy of the prompt", start=0, quote=reply.text
        )


def recited(reply: Reply, recital: Recital | None) -> Iterator[Evidence]:
    if recital is not None:
        words = recital.words if len(recital.words) <= SHOWN else recital.words[:SHOWN] + "…"
        start = reply.text.find(recital.words)
        yield Evidence(
            kind="recital",
            problem=f"the reply recites the answer of training example {recital.number} of "
            f"{recital.dataset} ({recital.prompt[:SHOWN]!r}): {words!r}",
            start=None if start < 0 else start,
            quote=words,
        )
