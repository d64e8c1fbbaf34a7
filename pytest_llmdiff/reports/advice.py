"""What to do next, given which measures broke their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import counted, printable
from pytest_llmdiff.reports.outcomes import kind_of

MOVED = "behaviour moved beyond its limit"
_WIRING = ("wiring (",)
# Beginnings of the names of measures, what is wrong if one of them broke its limit, and what to do,
# in order. For each measure the first match counts.
_BROKEN: Sequence[tuple[tuple[str, ...], str, str]] = (
    (
        ("adapter problems",),
        "the adapter has a fault",
        "fix the adapter first: until then no other result means much",
    ),
    (
        _WIRING,
        "the model is not put together as it was trained",
        "fix the wiring first",
    ),
    (
        ("template mismatch",),
        "the chat template is not that of the training",
        "fix the chat template first: a model that is prompted with different tokens than in "
        "training changes everywhere",
    ),
    (
        ("likelihood gap", "toxicity gap", "refusal gap", "length gap", "divergence gap"),
        "groups are treated more differently than by the base",
        "groups are treated more differently than by the base: look for one-sided examples in the "
        "training data, and mix in the same examples with other groups",
    ),
    (
        ("toxicity rise",),
        "replies are more toxic than the base's",
        "toxicity rose: search the training data for the tone of the failing replies, before "
        "changing training parameters",
    ),
    (
        ("toxicity",),
        "replies are toxic",
        "toxicity rose: search the training data for the tone of the failing replies, before "
        "changing training parameters",
    ),
    (
        ("refusal gained",),
        "harmless prompts are refused",
        "harmless prompts are refused: look for refusals among the training answers, and mix in "
        "harmless prompts that sound alarming, with answers",
    ),
    (
        ("refusal lost",),
        "harmful prompts are answered",
        "harmful prompts are answered: even tuning on harmless data can cause that; mix prompts "
        "with the base's own refusals into the training data, or train more gently",
    ),
    (
        ("answer lost", "reference likelihood", "text likelihood"),
        "what the base knows was forgotten",
        "the tuned model forgot: train more gently (learning rate, epochs, rank), or mix general "
        "examples into the training data",
    ),
    (
        ("degeneration", "new degeneration"),
        "replies are degenerate",
        "replies that loop or do not stop point to a missing end-of-turn token in training, or to "
        "too high a learning rate or too many epochs; recited training answers point to the same, "
        "and marks of a template to training with a different one",
    ),
    (
        ("invariance loss", "refusal flip"),
        "the wording of a prompt matters more than it did",
        "the wording of a prompt matters more than it did: look for words and forms that always go "
        "with one answer in the training data, and add the same questions in other forms",
    ),
    (
        ("attention",),
        "the models attend to different words",
        "the models attend to different words: that shows where, not why; remove the word that "
        "gained or lost from the prompt, and see whether the reply changes accordingly",
    ),
    (
        ("format lost",),
        "formats are lost that the base keeps",
        "formats are lost that the base keeps: mix prompts that ask for JSON, choices or tool "
        "calls into the training data, with answers that contain nothing else",
    ),
    (
        ("tool call",),
        "tools are called less well",
        "tools are called less well: mix prompts with tools into the training data, with calls in "
        "the form of the chat template and with prompts for which no call is due",
    ),
    (
        ("semantic drift", "divergence"),
        MOVED,
        "behaviour moved beyond its limit: read the replies; where the change is unwanted, mix "
        "such prompts with the base's own replies into the training data, or train more gently",
    ),
)

SCORED = ("toxicity", "semantic drift", "invariance loss")
SCORERS = "; --llmdiff-embedder and --llmdiff-toxicity choose a scorer that can judge them"
DIAGNOSES = tuple(wrong for _, wrong, _ in _BROKEN)

# Where nothing but limits on change is broken. Where something is harmed, a reply that no measure
# objects to may be of the same kind; and mending that changes the replies anyway.
_ACCEPT = (
    "if you want such a change, run its test alone with --llmdiff-accept: that writes the new "
    "reply to a file for review, and from then on it is what is expected"
)
_TOO_LITTLE = (
    "less changed than was wanted: is it the right adapter? If so, train longer, with a higher "
    "learning rate or with more examples of what is to change"
)
_WORSE = (
    "the tuned model got worse where it was to get better: read the replies that it lost; then too "
    "high a learning rate, too many epochs or faulty examples are likelier than too little training"
)

# Measures whose outcomes moved both ways, with no more of them to the worse than to the better.
_BALANCED = (
    "outcomes moved both ways, and no more were lost than gained: the tuned model is not worse on "
    "balance, but it differs; read the lost ones before changing the training"
)


def diagnosis_of(measure: str) -> str | None:
    """What is wrong if a measure broke its limit; None for measures of which nothing is known."""
    return next((wrong for names, wrong, _ in _BROKEN if measure.startswith(names)), None)


def advice(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> list[str]:
    """What to do, first things first, each once; `counts` has the number of tests by outcome."""
    return list(dict.fromkeys(_advice(rows, counts)))


def _advice(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> Iterator[str]:
    # A broken limit that its test expects, or tolerates, is nothing to mend.
    red = [row for row in rows if kind_of(row) == "regressed"] if counts["regressed"] else []
    regressed = [v for row in red for v in row["verdicts"] if v["outcome"] == "regressed"]
    broken = [v for v in regressed if not _balanced(v)]
    if all_same(rows):
        yield (
            "every reply equals the base's: is it the right adapter, and does it change anything? "
            "assert_adapter_effective(llm_pair) checks that"
        )
    wanted = {diagnosis_of(v["name"]) for v in broken if v["bound"] != "at_least"}
    for names, wrong, hint in _BROKEN:
        if wrong in wanted:
            yield f"{hint}: {_first_step(regressed)}" if names == _WIRING else hint
    if wanted == {MOVED}:
        yield _ACCEPT
    yield from _taught(red)
    yield from dict.fromkeys(_lacking(v) for v in broken if v["bound"] == "at_least")
    if len(broken) < len(regressed):
        yield _BALANCED
    if counts["inconclusive"]:
        open_ = [
            v for row in rows for verdict in row["verdicts"]
            if (v := verdict["set"]) and v["decides"]
        ]  # fmt: skip
        needed = [v["decides"] for v in open_]
        of = "probes" if all(v["clusters"] == v["judged"] for v in open_) else "questions"
        more = "take"
        if needed:
            more = (
                f"about {_range(needed)} {of} like theirs would decide it in 4 of 5 cases (choose "
                "the number once: each further look can pass by chance), or"
            )
        yield (
            f"inconclusive, {counted(counts['inconclusive'], 'test')}: {more} a wider limit; "
            "llmdiff_inconclusive sets whether such tests fail"
        )
    if counts["not judged"]:
        yield (
            f"not judged, {counted(counts['not judged'], 'test')}: each says why"
            + (SCORERS if any(map(_lacks_a_scorer, rows)) else "")
        )


def _taught(red: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What to do where it is known which training examples taught a reply."""
    found = [c["learnt"] for row in red for c in row["comparisons"] if c["learnt"]]
    if found:  # only then: it loads a part of what explains
        from pytest_llmdiff.explain.training.kinds import next_step

        yield from filter(None, map(next_step, found))


def remedy_of(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """What to do about verdicts that regressed for one reason, in the words of the advice; empty
    where nothing is known."""
    first = verdicts[0]
    if all(map(_balanced, verdicts)):
        return _BALANCED
    if first["bound"] == "at_least":
        return _lacking(first)
    for names, _, hint in _BROKEN:
        if first["name"].startswith(names):
            return f"{hint}: {_first_step(verdicts)}" if names == _WIRING else hint
    return ""


def _balanced(verdict: Mapping[str, Any]) -> bool:
    """Whether a set has no more lost than gained. Of a gain that is too low, `net` counts those
    gained."""
    upper = verdict["bound"] != "at_least"
    return upper and bool(verdict["set"]) and verdict["details"].get("net", 1) <= 0


def _lacking(verdict: Mapping[str, Any]) -> str:
    """What to do about a value that is below what was wanted."""
    return _WORSE if verdict["details"].get("net", 0) < 0 else _TOO_LITTLE


def _lacks_a_scorer(row: Mapping[str, Any]) -> bool:
    return any(
        verdict["outcome"] == "not judged" and verdict["name"].startswith(SCORED)
        for verdict in row["verdicts"]
    )


def _first_step(regressed: Sequence[Mapping[str, Any]]) -> str:
    """The next step of the first wiring check that failed: it is the likeliest cause of others."""
    steps = (v["details"].get("next") for v in regressed if v["name"].startswith(_WIRING))
    return printable(next(filter(None, steps), ["read the first failed check"])[0])


def _range(sizes: Sequence[int]) -> str:
    """How many probes decide one test, or a range for several."""
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"


def all_same(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every reply that was compared equals the base's."""
    compared: int = sum(row["compared"] for row in rows)
    return compared > 1 and compared == sum(row["same"] for row in rows)
