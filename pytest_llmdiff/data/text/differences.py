"""Where two texts or token lists begin to differ."""

from __future__ import annotations

from collections.abc import Sequence


def common_length(a: Sequence[object], b: Sequence[object]) -> int:
    """The length of the longest prefix that both have."""
    differing = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))


def first_difference(a: Sequence[object], b: Sequence[object], *, cut: bool = False) -> int | None:
    """Index of the first item that differs; None where none does.

    Where one is a prefix of the other, that is the index after its end. With `cut` it is None:
    either may have been cut short, so that a missing item is not a difference.
    """
    at = common_length(a, b)
    ends = (min if cut else max)(len(a), len(b))
    return at if at < ends else None
