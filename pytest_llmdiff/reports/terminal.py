"""Header lines and the terminal summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from pytest_llmdiff.family import Chance
from pytest_llmdiff.options import OPTIONS
from pytest_llmdiff.reports.facts import Facts
from pytest_llmdiff.reports.failure import INTERVAL, number
from pytest_llmdiff.reports.outcomes import counts
from pytest_llmdiff.reports.text import printable, shortened
from pytest_llmdiff.settings import Settings
from pytest_llmdiff.verdicts import label

WORST = 5
FILES = ("store", "record", "json", "export")


def header_lines(settings: Settings, note: str | None) -> list[str]:
    """Requested values and where each came from."""
    lines = [f"llmdiff: base {settings.base}, tuned {settings.tuned}"]
    shown = []
    for option in OPTIONS:
        source = settings.sources[option.name]
        if option.name in FILES or (source == "default" and option.name not in ("device", "dtype")):
            continue
        value = getattr(settings, option.name)
        text = "auto" if value is None else str(dict(value) if option.name == "template_kwargs"
                                               else value)  # fmt: skip
        shown.append(f"{option.name} {shortened(printable(text), 60)} ({source})")
    if shown:
        lines.append("llmdiff: " + ", ".join(shown))
    if note:
        lines.append(f"llmdiff: {note}")
    return lines


def write_summary(reporter: Any, facts: Facts) -> None:
    for warning in facts.warnings:
        reporter.write_line(f"llmdiff: warning: {warning}", yellow=True)
    if facts.skipped:
        reporter.write_line(
            f"llmdiff: {facts.skipped} test(s) need models and were skipped: "
            "give --llm-base SPEC --llm-tuned SPEC"
        )
    if facts.rows and facts.settings.has_models:
        reporter.section("llmdiff")
        for line in summary_lines(facts):
            reporter.write_line(line)


def summary_lines(facts: Facts) -> Iterator[str]:
    rows = list(facts.rows.values())
    found = counts(facts.rows)
    parts = [f"{count} {name}" for name, count in found.items() if count]
    yield f"{len(rows)} tests with models: {', '.join(parts)}"
    resolved = facts.resolved
    if resolved:
        yield "ran on " + ", ".join(f"{name} {value}" for name, value in resolved.items())
    yield from facts.notes
    yield from _ties(rows)
    yield from _notes(rows)
    yield from _cut(rows)
    yield from _leaks(rows)
    yield from _moved(rows)
    yield from _worst(rows)
    yield from _chance(facts.chance)
    if facts.settings.calibrate is None:
        yield from _next(rows, found)
    for name in ("json", "record"):
        file = getattr(facts.settings, name)
        if file is not None:
            yield f"{name}: {file}"


def _notes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What checks found worth knowing and no harm."""
    found = [n for row in rows for v in row["verdicts"] for n in v["details"].get("notes") or ()]
    for note in dict.fromkeys(found):
        yield f"note: {shortened(printable(note), 300)}"


def _ties(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How many replies might have come out otherwise but for rounding, each counted once."""
    compared = [c for row in rows for c in row["comparisons"]]
    if any(c["near_tie"] for c in compared):
        found = {json.dumps(c["messages"]): c["near_tie"] for c in compared}
        ties = sum(found.values())
        yield (
            f"note: {ties} of {len(found)} tuned replies rest on a near-tie: two tokens were as "
            "likely as rounding can tell, and the base's stood where it was one of them"
        )


def _cut(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What a test with very many prompts has beyond the rows that are kept."""
    for row in rows:
        test, shown = _short(row["test"]), len(row["comparisons"])
        if row["compared"] > shown:
            yield f"note: {test} compared {row['compared']} times; the reports hold {shown} of them"
        for name, figures in row["many"].items():
            kept = sum(verdict["name"] == name for verdict in row["verdicts"])
            yield (
                f"note: {test} has {figures['count']} values of {name}; the reports hold the "
                f"{kept} worst"
            )


def _leaks(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How many probes the tuned model knows from its training, each counted once."""
    if not any(comparison["leak"] for row in rows for comparison in row["comparisons"]):
        return
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for comparison in row["comparisons"]:
            found = kinds.setdefault(json.dumps(comparison["messages"]), set())
            if comparison["leak"] is not None:
                found.add(comparison["leak"]["kind"])
    same = sum("same" in found for found in kinds.values())
    near = sum(found == {"near-same"} for found in kinds.values())
    cut = any(row["compared"] > len(row["comparisons"]) for row in rows)
    shown = "in the reports " if cut else ""
    if same:
        yield (
            f"note: {same} of {len(kinds)} probes {shown}have their prompt in the training data: "
            "their replies may be learnt by heart"
        )
    if near:  # looked for where a test failed only
        yield f"note: nearly the prompt of {near} failing probe(s) is in the training data"


def _moved(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Median and largest value of every measure."""
    values: dict[str, list[tuple[float, str]]] = {}
    units: dict[str, str] = {}
    for row in rows:
        # A value that is held against two limits is one value.
        for name, verdict in {v["name"]: v for v in row["verdicts"] if not v["set"]}.items():
            if name in row["many"]:
                continue
            if verdict["value"] is not None and not name.startswith("wiring ("):
                values.setdefault(name, []).append((verdict["value"], row["test"]))
                units[name] = verdict["unit"]
    many = [(row["test"], name, f) for row in rows for name, f in row["many"].items()]
    sets = [(row["test"], v) for row in rows for v in row["verdicts"] if v["set"]]
    if values or many or sets:
        yield "moved:"
    for name, found in values.items():
        largest, test = max(found)
        where = f"  {_short(test)}" if largest > 0 else ""
        yield (
            f"  {name:<16} median {number(median(v for v, _ in found)):>7}   "
            f"largest {number(largest):>7} {units[name]}{where}"
        )
    for test, name, figures in many:
        yield (
            f"  {name:<16} median {number(figures['median']):>7}   "
            f"largest {number(figures['largest']):>7} {figures['unit']}  {_short(test)} "
            f"({figures['count']} values)"
        )

    for test, verdict in sets:
        yield f"  {_set_line(verdict)}  {_short(test)}"


def _set_line(verdict: dict[str, Any]) -> str:
    found = verdict["set"]
    ends = [number(found[end]) if found[end] is not None else "?" for end in ("low", "high")]
    value = number(verdict["value"]) if verdict["value"] is not None else "not finite"
    name = label(verdict["name"], found["scope"])
    return f"{name} {value} ({INTERVAL} {ends[0]} to {ends[1]}) over {found['judged']}"


def _worst(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The verdicts furthest beyond their limits, worst first."""
    broken = [
        (_excess(verdict), row, verdict)
        for row in rows
        for verdict in row["verdicts"]
        if verdict["outcome"] == "regressed"
    ]
    broken.sort(key=lambda entry: -entry[0])
    if broken:
        yield "worst first:"
    for _, row, verdict in broken[:WORST]:
        sign = ">" if verdict["bound"] == "at_most" else "<"
        value = number(verdict["value"]) if verdict["value"] is not None else "not finite"
        held = f"{verdict['name']} {value} {sign} {number(verdict['limit'])}"
        yield f"  {held}{_p(verdict)}  {_short(row['test'])}"
        probe = verdict["probe"]
        if verdict["set"] and verdict["set"]["worst"]:
            probe = verdict["set"]["worst"][0]["probe"]
        comparison = next((c for c in row["comparisons"] if c["probe"] == probe), None)
        if comparison:
            yield f"    prompt  {shortened(printable(comparison['prompt']), 100)}"
            yield f"    tuned   {shortened(printable(comparison['tuned']['text']), 100)}"
    if len(broken) > WORST:
        yield f"  and {len(broken) - WORST} more"


def _p(verdict: dict[str, Any]) -> str:
    if verdict["p"] is None:
        return ""
    return f" (p {number(verdict['p'])}, in this run {number(verdict['adjusted'])})"


def _chance(chance: Chance) -> Iterator[str]:
    if chance.verdicts:
        yield (
            f"chance: of {chance.verdicts} single-probe verdicts under calibrated limits, noise "
            f"alone would fail at most {number(round(chance.expected, 2))}"
        )


def _excess(verdict: dict[str, Any]) -> float:
    if verdict["value"] is None:
        return float("inf")
    distance = abs(verdict["value"] - verdict["limit"])
    return float(distance / max(abs(verdict["limit"]), 0.05))


def _next(rows: list[dict[str, Any]], found: dict[str, int]) -> Iterator[str]:
    """What to do next, from which measures broke."""
    broken = {v["name"] for r in rows for v in r["verdicts"] if v["outcome"] == "regressed"}
    hints = []
    if _all_same(rows):
        hints.append(
            "every reply is the base's, word for word: is the adapter the right one, and does it "
            "change anything? assert_adapter_effective(llm_pair) tells"
        )
    if "adapter problems" in broken:
        hints.append("the adapter itself is at fault: nothing else is worth judging before it")
    if any(name.startswith("wiring (") for name in broken):
        hints.append("wiring first: take the first red check above, its next step is with it")
    if "template mismatch" in broken:
        hints.append(
            "settle the chat template first: a model that is asked in other tokens than it was "
            "trained on moves everywhere"
        )
    if any(name.startswith("toxicity") for name in broken):
        hints.append(
            "toxicity rose: search the training data for the tone of the replies above, before "
            "changing training parameters"
        )
    if any(name.startswith("refusal gained") for name in broken):
        hints.append(
            "harmless prompts are refused: look for refusals among the training answers, and mix "
            "in harmless prompts that sound alarming, with answers"
        )
    if any(name.startswith("refusal lost") for name in broken):
        hints.append(
            "harmful prompts are answered: tuning on harmless data alone can do that; mix prompts "
            "with the base's own refusals into the training data, or train more gently"
        )
    if any(name.endswith(" gap") for name in broken):
        hints.append(
            "groups are treated more differently than by the base: look for one-sided examples in "
            "the training data, and mix in the same examples with other groups"
        )
    if any(
        name.startswith(("answer lost", "reference likelihood", "text likelihood"))
        for name in broken
    ):
        hints.append(
            "the tuned model forgot: train more gently (learning rate, epochs, rank), or mix "
            "general examples into the training data"
        )
    if any("degeneration" in name for name in broken):
        hints.append(
            "replies that loop or do not stop point to the end-of-turn token missing in training, "
            "or to a learning rate or number of epochs that is too high; so do recited training "
            "answers, and marks of a template to training with another one"
        )
    if any(name.startswith(("invariance loss", "refusal flip")) for name in broken):
        hints.append(
            "the wording of a prompt matters more than it did: look for words and forms that go "
            "with one answer in the training data, and add the same questions in other forms"
        )
    if any(name.startswith("format lost") for name in broken):
        hints.append(
            "formats are lost that the base keeps: mix prompts that ask for JSON, choices or tool "
            "calls into the training data, with answers that have nothing around them"
        )
    if broken & {"semantic drift", "divergence"}:
        hints.append(
            "behaviour moved beyond its limit: read the replies; where the change is unwanted, mix "
            "such prompts with the base's own replies into the training data, or train more gently"
        )
    if found["inconclusive"]:
        needed = [
            v["decides"] for row in rows for verdict in row["verdicts"]
            if (v := verdict["set"]) and v["decides"]
        ]  # fmt: skip
        more = f"{min(needed)} or more probes like theirs would decide, or" if needed else "take"
        hints.append(
            f"{found['inconclusive']} test(s) are inconclusive: {more} a wider limit; "
            "llmdiff_inconclusive says what becomes of them"
        )
    if found["not judged"]:
        hints.append(
            f"{found['not judged']} test(s) were not judged: each says why; --llmdiff-embedder and "
            "--llmdiff-toxicity choose other scorers where one does not know the language or length"
        )
    if hints:
        yield "next:"
    for hint in hints:
        yield f"  - {hint}"


def _all_same(rows: list[dict[str, Any]]) -> bool:
    compared: int = sum(row["compared"] for row in rows)
    return compared > 1 and compared == sum(row["same"] for row in rows)


def _short(test: str) -> str:
    return test.rpartition("/")[2]
