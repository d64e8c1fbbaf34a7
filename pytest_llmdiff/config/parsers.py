"""Parsers of option values (strings or native TOML values). Any exception means a bad value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BASELINE = "baseline"  # in place of a number: take the suite's limit from the baseline


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(value)
    return value


def whole_text(value: Any) -> str:
    found = text(value)
    found.encode()  # raises on half of a surrogate pair, which no tokenizer accepts
    return found


def one_of(*choices: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(value)
        return str(value)

    return parse


def whole(minimum: int) -> Callable[[Any], Any]:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or (found := int(str(value))) < minimum:
            raise ValueError(value)
        return found

    return parse


def batch_size(value: Any) -> int | None:
    return None if value == "auto" else int(whole(1)(value))


def number(low: float, high: float) -> Callable[[Any], Any]:
    def parse(value: Any) -> float:
        try:
            found = float(value)
        except OverflowError as error:  # an integer too large for a float
            raise ValueError(value) from error
        if isinstance(value, bool) or not math.isfinite(found) or not low <= found <= high:
            raise ValueError(value)
        return found

    return parse


def flag(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words[str(value).strip().lower()]


def json_object(value: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(value)
    return found


def margins(value: Any) -> Mapping[str, float]:
    allowed = number(0.0, math.inf)
    return {str(name): float(allowed(margin)) for name, margin in json_object(value).items()}


def suite_limits(value: Any) -> Mapping[str, float | str]:
    allowed = number(0.0, math.inf)
    return {
        name: limit if limit == BASELINE else float(allowed(limit))
        for name, limit in json_object(value).items()
    }


def languages(value: Any) -> Sequence[str]:
    codes = tuple(code.strip().lower() for code in text(value).split(","))
    if not all(re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]+)*", code) for code in codes):
        raise ValueError(value)
    return codes


temperature = number(0.0, math.inf)
top_p = number(1e-6, 1.0)


def device(value: Any) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(value)) is None:
        raise ValueError(value)
    return str(value)
