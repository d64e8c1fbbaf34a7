"""Changed forms of a prompt that mean the same: pure functions, without any package.

Each takes a text and a source of randomness, and gives the forms that it knows of that text, the
smallest change first; none where it does not apply. Equal seeds give equal forms on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pytest_llmdiff.data.text.chinese import half_width, traditional
from pytest_llmdiff.data.text.spelling import (
    case,
    full_width,
    homoglyphs,
    punctuation,
    spacing,
    typos,
)
from pytest_llmdiff.data.text.wording import paraphrase, politeness, reordered

Perturbation = Callable[[str, random.Random], list[str]]

ENGLISH: tuple[Perturbation, ...] = (
    case, spacing, punctuation, typos, politeness, paraphrase, reordered, full_width, homoglyphs,
)  # fmt: skip
CHINESE: tuple[Perturbation, ...] = (
    half_width, spacing, punctuation, traditional, politeness, paraphrase, reordered,
)  # fmt: skip


def forms(
    text: str, by: Sequence[Perturbation] = ENGLISH, *, seed: int = 0
) -> list[tuple[str, str]]:
    """The changed forms of a text with the name of what changed it, without doubles.

    A form depends on the text, the function and the seed alone, not on what else is asked for.
    """
    found: dict[str, str] = {}
    for perturbation in by:
        name = getattr(perturbation, "__name__", type(perturbation).__name__)
        # Seeded by text: a string is hashed the same way in every process.
        for form in perturbation(text, random.Random(f"{seed} {name} {text}")):
            if form != text and form.strip():
                found.setdefault(form, name)
    return [(name, form) for form, name in found.items()]


__all__ = [
    "CHINESE",
    "ENGLISH",
    "Perturbation",
    "case",
    "forms",
    "full_width",
    "half_width",
    "homoglyphs",
    "paraphrase",
    "politeness",
    "punctuation",
    "reordered",
    "spacing",
    "traditional",
    "typos",
]
