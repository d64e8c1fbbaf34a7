"""Limits that make no sense are refused before anything is measured."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Container, Mapping
from numbers import Real

from pytest_llmdiff.errors import ConfigError


def check_within(
    limits: Mapping[str, object],
    low: float,
    high: float,
    *,
    beyond: Container[str] = (),
) -> None:
    """Check the limits that are given, by the name of their argument.

    Args:
        limits: None for one that is not given.
        low: the smallest limit that makes sense; for those in `beyond`, only larger ones do, since
            every value keeps this one.
        high: the largest one.

    Raises:
        ConfigError: one of them is no number in that range.
    """
    __tracebackhide__ = True
    for name, limit in limits.items():
        if limit is None:
            continue
        value = float(limit) if type(limit) is not bool and isinstance(limit, Real) else math.nan
        kept = math.isfinite(value) and low <= value <= high
        if not kept or (name in beyond and value == low):
            above = "more than " if name in beyond else "from "
            raise ConfigError(
                f"{name}={reprlib.repr(limit)}: give a number {above}{low:g} "
                f"{'and at most' if name in beyond else 'to'} {high:g}"
            )
