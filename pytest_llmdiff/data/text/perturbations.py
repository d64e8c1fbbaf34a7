"""Perturbations: changed forms of a prompt that mean the same, without any package.

Each perturbation takes a text and a source of randomness, and returns the changed forms that it
knows, the smallest change first; an empty list if it does not apply. Equal seeds give equal forms
on every machine.
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
    """The distinct changed forms of a text, each with the name of its perturbation.

    A form depends only on the text, the perturbation and the seed, not on the other perturbations.

    Args:
        text: the prompt.
        by: the perturbations, by default those for English; `CHINESE` has those for Chinese.
        seed: the seed of the random choices.

    Returns:
        Pairs (name of the perturbation, changed form).
    """
    names: dict[str, str] = {}
    for perturbation in by:
        name = getattr(perturbation, "__name__", type(perturbation).__name__)
        # Seeded with a string, which `random` hashes the same way in every process.
        for form in perturbation(text, random.Random(f"{seed} {name} {text}")):
            if form != text and form.strip():
                names.setdefault(form, name)
    return [(name, form) for form, name in names.items()]


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
