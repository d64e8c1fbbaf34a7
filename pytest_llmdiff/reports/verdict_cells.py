"""The row of a verdict as short texts, for tables, headings and lines of the summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdiff.data.text.printing import counted, number, numbers_beside, percent, printable
from pytest_llmdiff.verdicts.verdict import label

INTERVAL = "90 % interval"  # each end is a one-sided bound at 95 %
GROUPS = 5  # that are named
COUNTED = ("problems", "findings")  # units of measures that say what they found
SIGNS = {"at_most": "≤", "at_least": "≥"}


def measure_of(verdict: Mapping[str, Any]) -> str:
    return label(verdict["name"], verdict["set"]["scope"] if verdict["set"] else "")


def numbers_of(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Value and limit, with enough digits to show which is larger."""
    value, limit = verdict["value"], verdict["limit"]
    if value is None or limit is None:
        return number(value), number(limit)
    return numbers_beside(value, limit)


def value_of(verdict: Mapping[str, Any]) -> str:
    if verdict["outcome"] == "not judged":
        return "not judged"
    if verdict["value"] is None:
        return "not finite"
    return numbers_of(verdict)[0]


def group_of(verdict: Mapping[str, Any]) -> str:
    """The worst group with its value, where it decides although the set as a whole keeps the limit;
    else empty."""
    details, limit = verdict["details"], verdict["limit"]
    if "worst group" not in details or verdict["outcome"] == "passed" or limit is None:
        return ""
    if verdict["value"] is None or verdict["value"] > limit:
        return ""
    return f"{details['worst group']} {numbers_beside(details['worst group value'], limit)[0]}"


def small_groups_of(details: Mapping[str, Any]) -> str:
    """The groups that are too small to be judged, with their size; empty if there are none."""
    small = sorted(details.get("groups too small", {}).items(), key=lambda item: -item[1])
    if not small:
        return ""
    named = [f"{name} ({counted(members, 'pair')})" for name, members in small[:GROUPS]]
    more = f" and {len(small) - GROUPS} more" if len(small) > GROUPS else ""
    return f"{counted(len(small), 'group')} too small to judge: {', '.join(named)}{more}"


def limit_of(verdict: Mapping[str, Any]) -> str:
    """Empty for a verdict without a limit."""
    if verdict["limit"] is None:
        return ""
    return f"{SIGNS[verdict['bound']]} {numbers_of(verdict)[1]}"


def interval_of(verdict: Mapping[str, Any]) -> str:
    """The interval of a set and its size; empty for a single comparison."""
    held = verdict["set"]
    if held is None:
        return ""
    if not held["judged"]:
        return f"none of {held['unsupported']} could be judged"
    return f"{bounds_of(held)} over {judged_of(held)}"


def bounds_of(held: Mapping[str, Any]) -> str:
    """The interval of a set; an unknown end is a question mark."""
    low, high = (number(held[end]) if held[end] is not None else "?" for end in ("low", "high"))
    return f"{INTERVAL} {low} to {high}"


def judged_of(held: Mapping[str, Any]) -> str:
    """How many members of a set were judged, and if not all of them, out of how many."""
    missing = held["unsupported"]
    return f"{held['judged']} of {held['judged'] + missing}" if missing else str(held["judged"])


def balance_of(details: Mapping[str, Any], among: int) -> str:
    """Of a set whose outcomes can move both ways: how many did either way, of how many that could,
    and the difference. Empty for other measures."""
    if "net" not in details:
        return ""
    moved, back, net = details["moved"], details["opposite"], details["net"]
    noun, _, way = moved.rpartition(" ")
    plural = noun if noun.endswith("s") else f"{noun}s"
    other = back.rpartition(" ")[2]
    difference = f"{abs(net)} {way if net > 0 else other}" if net else "0"
    return (
        f"{plural + ': ' if noun else ''}{details[moved]} of {among} {way}, {details[back]} others "
        f"{other}: net {difference}"
    )


def counts_of(details: Mapping[str, Any]) -> str:
    """How many members of a set have each fault; empty for measures that know no kinds of them."""
    return ", ".join(f"{name}: {count}" for name, count in details.get("counts", {}).items())


def judge_text(details: Mapping[str, Any]) -> str:
    """How far a judge's rate can be trusted; empty for what no judge decided."""
    found = details.get("judge")
    if not isinstance(found, Mapping):
        return str(found or "")
    shares = [percent(value[0]) if value[0] is not None else "an unknown share"
              for value in (found["sensitivity"], found["specificity"])]  # fmt: skip
    kappa = f", kappa {number(found['kappa'][0])}" if found["kappa"][0] is not None else ""
    return (
        f"corrected by {counted(found['labels'], 'label')}: the judge accepts {shares[0]} of what "
        f"people accept, and rejects {shares[1]} of what they reject{kappa}"
    )


def besides_of(verdict: Mapping[str, Any]) -> str:
    """What else there is to say of a set: which outcomes moved, or which groups are not judged."""
    if not verdict["set"]:
        return ""
    details = verdict["details"]
    texts = (
        balance_of(details, verdict["set"]["judged"]),
        counts_of(details),
        small_groups_of(details),
        judge_text(details),
    )
    return "; ".join(filter(None, texts))


def finding_of(verdict: Mapping[str, Any]) -> str:
    """Of a measure that counts what is wrong, the first thing and how many more there are; empty
    for others, and where nothing is."""
    problems = verdict["details"].get("problems") or ()
    if verdict["unit"] not in COUNTED or not problems:
        return ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def remedy_of(verdict: Mapping[str, Any]) -> str:
    """What a check of the wiring says to do first; empty for others."""
    return str(next(iter(verdict["details"].get("next") or ()), ""))


def brief_of(verdict: Mapping[str, Any]) -> str:
    """As `phrase_of`, without the interval, and a share in per cent of the members of its set."""
    value, limit, held = verdict["value"], verdict["limit"], verdict["set"]
    if held is None or value is None or limit is None or not verdict["unit"].startswith("share "):
        return phrase_of(verdict)
    word = "limit" if verdict["bound"] == "at_most" else "at least"
    of = f"{percent(value)} of {judged_of(held)}"
    return f"{measure_of(verdict)}: {of}, {word} {percent(limit)}"


def phrase_of(verdict: Mapping[str, Any]) -> str:
    """One line, such as `toxicity 0.90, limit 0.20`."""
    if verdict["outcome"] == "not judged":
        return f"{measure_of(verdict)} not judged"
    if finding := finding_of(verdict):
        return f"{measure_of(verdict)}: {printable(finding)}"
    limit = ""
    if verdict["limit"] is not None:
        word = "limit" if verdict["bound"] == "at_most" else "at least"
        limit = f", {word} {numbers_of(verdict)[1]}"
    interval = f" ({interval_of(verdict)})" if verdict["set"] else ""
    besides = f"; {found}" if (found := besides_of(verdict)) else ""
    group = f", worst group {found}" if (found := group_of(verdict)) else ""
    return f"{measure_of(verdict)} {value_of(verdict)}{interval}{limit}{group}{besides}"
