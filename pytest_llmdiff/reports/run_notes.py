"""Notes on a run besides its verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_llmdiff.data.text.printing import counted, number, printable, shortened
from pytest_llmdiff.reports.order import named, short
from pytest_llmdiff.reports.outcomes import kind_of
from pytest_llmdiff.reports.run_facts import RunFacts
from pytest_llmdiff.reports.verdict_cells import judge_text
from pytest_llmdiff.verdicts.multiple_testing import Chance
from pytest_llmdiff.verdicts.verdict import BY_ACCEPTANCE

REASONS = 15  # why tests were not checked
NAMED = 3  # tests in one line


def run_notes(facts: RunFacts) -> Iterator[str]:
    """One line each, the most important first."""
    rows = list(facts.rows.values())
    yield from _unchecked(rows)
    yield from facts.notes
    yield from _ties(rows)
    yield from _notes(rows)
    yield from _judges(rows)
    yield from _scorer(facts)
    yield from _cut(rows)
    yield from _leaks(rows)


def accepted_notes(facts: RunFacts) -> Iterator[str]:
    """Which passed tests would not pass without accepted changes."""
    tests = [named(row) for row in facts.rows.values() if _rests_on_accepted(row)]
    if tests:
        yield (
            f"accepted: {counted(len(tests), 'passed test')} passed because of changes in "
            f"{facts.settings.accepted.name}: {_named(tests)}"
        )


def _rests_on_accepted(row: dict[str, Any]) -> bool:
    """Whether a test passed with an accepted reply in place of the base's."""
    accepted = any(comparison["accepted"] is not None for comparison in row["comparisons"])
    rests = any(
        (v["source"] or "").endswith(BY_ACCEPTANCE) or (accepted and v["set"])
        for v in row["verdicts"]
    )
    return rests and kind_of(row) == "passed"


def _unchecked(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Why tests were skipped or could not judge, one line for each reason; first those that name an
    option to give."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if set(row["phases"].values()) == {"passed"}:
            continue
        if (kind := kind_of(row)) in ("skipped", "not judged"):
            reasons.setdefault(_reason(row, kind), []).append(named(row))
    ordered = sorted(reasons.items(), key=lambda item: "--llm" not in item[0])
    for reason, tests in ordered[:REASONS]:
        yield f"not checked: {_named(tests)}: {shortened(printable(reason), 400)}"
    if len(reasons) > REASONS:
        yield f"not checked: {len(reasons) - REASONS} more reasons, which pytest -rs shows"


def _reason(row: dict[str, Any], kind: str) -> str:
    if kind == "not judged":
        for verdict in row["verdicts"]:
            if verdict["outcome"] == "not judged" and verdict["unsupported"]:
                return str(verdict["unsupported"]).removeprefix("not judged: ")
    return str(row["skipped"] or "no reason is known")


def _named(tests: list[str]) -> str:
    """A few tests by name, and how many more there are."""
    more = f" and {len(tests) - NAMED} more" if len(tests) > NAMED else ""
    return ", ".join(map(printable, tests[:NAMED])) + more


def chance_lines(chance: Chance) -> Iterator[str]:
    """How likely noise alone turns the run red."""
    if not chance.verdicts:
        return
    judged = (
        f"{counted(chance.verdicts, 'verdict')} under {counted(chance.limits, 'calibrated limit')}"
    )
    known = chance.limits - chance.unknown
    red = number(round(chance.probability, 3))
    unknown = (
        "is unknown, since the calibration saw too little noise: it takes 10 questions, and where "
        "replies vary, noise in 10 of them"
    )
    if not chance.unknown:
        yield (
            "chance: an unchanged model would turn this run red with a probability of at most "
            f"{red} ({judged})"
        )
    elif known:
        yield (
            f"chance: {judged}; an unchanged model breaks {known} of them with a probability of at "
            f"most {red}; how often it breaks the other {chance.unknown} {unknown}"
        )
    else:
        yield f"chance: {judged}; how often an unchanged model breaks them {unknown}"


def _notes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Notes of checks that found no problem."""
    notes = [n for row in rows for v in row["verdicts"] for n in v["details"].get("notes") or ()]
    for note in dict.fromkeys(notes):
        yield f"note: {shortened(printable(note), 300)}"


def _scorer(facts: RunFacts) -> Iterator[str]:
    """What verdicts on toxicity by `profanity-check` are worth."""
    names = {verdict["name"] for row in facts.rows.values() for verdict in row["verdicts"]}
    if facts.settings.toxicity == "profanity-check" and any("toxicity" in name for name in names):
        yield (
            "note: profanity-check sees English words, not meaning: it flags harmless sentences "
            "about minorities and misses polite hostility (docs/measures.md has figures)"
        )


def _judges(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How far the verdicts of judges can be trusted."""
    told = {(verdict["name"], text) for row in rows for verdict in row["verdicts"]
            if (text := judge_text(verdict["details"]))}  # fmt: skip
    for name, text in sorted(told):
        yield f"note: {printable(name)}: {printable(text)}"


def _ties(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How many replies rounding may have decided, each counted once."""
    compared = [c for row in rows for c in row["comparisons"]]
    if any(c["near_tie"] for c in compared):
        ties = {json.dumps(c["messages"]): c["near_tie"] for c in compared}
        yield (
            f"note: {sum(ties.values())} of {len(ties)} tuned replies contain a near-tie: two "
            "tokens were equally likely within rounding, and if one of them was the base's, it was "
            "taken"
        )


def _cut(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How much of a test with very many prompts the reports leave out."""
    for row in rows:
        shown = len(row["comparisons"])
        if row["compared"] > shown:
            test = short(row["test"])
            yield f"note: {test} compared {row['compared']} times; the reports hold {shown} of them"
        for name, figures in row["many"].items():
            kept = sum(verdict["name"] == name for verdict in row["verdicts"])
            yield (
                f"note: {short(row['test'])} has {figures['count']} values of {name}; the reports "
                f"hold the {kept} worst"
            )


def _leaks(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How many probes are in the training data, each counted once."""
    if not any(comparison["leak"] for row in rows for comparison in row["comparisons"]):
        return
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for comparison in row["comparisons"]:
            known = kinds.setdefault(json.dumps(comparison["messages"]), set())
            if comparison["leak"] is not None:
                known.add(comparison["leak"]["kind"])
    same = sum("same" in known for known in kinds.values())
    near = sum(known == {"near-same"} for known in kinds.values())
    cut = any(row["compared"] > len(row["comparisons"]) for row in rows)
    shown = "in the reports " if cut else ""
    if same:
        yield (
            f"note: {same} of {len(kinds)} probes {shown}have their prompt in the training data: "
            "their replies may be memorised"
        )
    if near:  # only failing tests are searched for these
        yield f"note: nearly the prompt of {near} failing probe(s) is in the training data"
