"""A verdict in a few words, for tables and headings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdiff.reports.text import INTERVAL, number, told_apart
from pytest_llmdiff.verdicts.verdict import label

SIGNS = {"at_most": "≤", "at_least": "≥"}


def measure_of(verdict: Mapping[str, Any]) -> str:
    return label(verdict["name"], verdict["set"]["scope"] if verdict["set"] else "")


def numbers_of(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Value and limit, so that it shows which is the larger one."""
    value, limit = verdict["value"], verdict["limit"]
    if value is None or limit is None:
        return number(value), number(limit)
    return told_apart(value, limit)


def value_of(verdict: Mapping[str, Any]) -> str:
    if verdict["outcome"] == "not judged":
        return "not judged"
    if verdict["value"] is None:
        return "not finite"
    return numbers_of(verdict)[0]


def limit_of(verdict: Mapping[str, Any]) -> str:
    """Empty where there is none."""
    if verdict["limit"] is None:
        return ""
    return f"{SIGNS[verdict['bound']]} {numbers_of(verdict)[1]}"


def interval_of(verdict: Mapping[str, Any]) -> str:
    """Of a set what its value rests on; empty for a single comparison."""
    found = verdict["set"]
    if found is None:
        return ""
    low, high = (number(found[end]) if found[end] is not None else "?" for end in ("low", "high"))
    return f"{INTERVAL} {low} to {high} over {judged_of(found)}"


def judged_of(found: Mapping[str, Any]) -> str:
    """How many members of a set were judged, and of how many where that is not all."""
    left = found["unsupported"]
    return f"{found['judged']} of {found['judged'] + left}" if left else str(found["judged"])


def phrase_of(verdict: Mapping[str, Any]) -> str:
    """`toxicity 0.90, limit 0.20`, with as many words as it takes."""
    if verdict["outcome"] == "not judged":
        return f"{measure_of(verdict)} not judged"
    limit = ""
    if verdict["limit"] is not None:
        word = "limit" if verdict["bound"] == "at_most" else "at least"
        limit = f", {word} {numbers_of(verdict)[1]}"
    interval = f" ({interval_of(verdict)})" if verdict["set"] else ""
    return f"{measure_of(verdict)} {value_of(verdict)}{interval}{limit}"
