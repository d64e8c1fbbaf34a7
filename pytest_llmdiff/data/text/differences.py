"""Where two sequences begin to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def first_differing(ours: Sequence[Any], theirs: Sequence[Any]) -> int | None:
    """The first place where two sequences differ, as far as both go."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((place for place, (own, other) in pairs if own != other), None)


def common_length(a: Sequence[object], b: Sequence[object]) -> int:
    """How many items two sequences begin with in common."""
    differing = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))


def first_difference(a: Sequence[object], b: Sequence[object]) -> int | None:
    """Index of the first element at which two texts or token lists differ, or None."""
    if a == b:
        return None
    differing = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))
