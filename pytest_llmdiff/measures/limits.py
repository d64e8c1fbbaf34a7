"""Limits that make no sense are refused before anything is measured."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from numbers import Real

from pytest_llmdiff.errors import ConfigError


def check_within(limits: Mapping[str, object], low: float, high: float) -> None:
    """Check the limits that are given, by the name of their argument.

    A limit that every value keeps is refused too: `…at_least` at the lowest value, `…at_most` at
    the highest.

    Args:
        limits: None for one that is not given.
        low: the lowest value.
        high: the highest one.

    Raises:
        ConfigError: one of them is no number in that range, or no value could break it.
    """
    __tracebackhide__ = True
    for name, limit in limits.items():
        if limit is None:
            continue
        value = float(limit) if type(limit) is not bool and isinstance(limit, Real) else math.nan
        kept = math.isfinite(value) and low <= value <= high
        least, most = name.endswith("at_least"), name.endswith("at_most")
        if not kept or (least and value == low) or (most and value == high):
            above = "more than" if least else "from"
            to = "and at most" if least else "to less than" if most else "to"
            raise ConfigError(
                f"{name}={reprlib.repr(limit)}: give a number {above} {low:g} {to} {high:g}"
            )
