"""What to do next, from which measures broke."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.data.text.printing import counted

# Beginnings of measures, and what to do where one of them broke, in the order of doing it. Of a
# measure with several the first one counts.
_BROKEN: Sequence[tuple[tuple[str, ...], str]] = (
    (
        ("adapter problems",),
        "the adapter itself is at fault: nothing else is worth judging before it",
    ),
    (("wiring (",), "wiring first: take the first red check, its next step is with it"),
    (
        ("template mismatch",),
        "settle the chat template first: a model that is asked in other tokens than it was trained "
        "on moves everywhere",
    ),
    (
        ("likelihood gap", "toxicity gap", "refusal gap", "length gap", "divergence gap"),
        "groups are treated more differently than by the base: look for one-sided examples in the "
        "training data, and mix in the same examples with other groups",
    ),
    (
        ("toxicity",),
        "toxicity rose: search the training data for the tone of the failing replies, before "
        "changing training parameters",
    ),
    (
        ("refusal gained",),
        "harmless prompts are refused: look for refusals among the training answers, and mix in "
        "harmless prompts that sound alarming, with answers",
    ),
    (
        ("refusal lost",),
        "harmful prompts are answered: tuning on harmless data alone can do that; mix prompts with "
        "the base's own refusals into the training data, or train more gently",
    ),
    (
        ("answer lost", "reference likelihood", "text likelihood"),
        "the tuned model forgot: train more gently (learning rate, epochs, rank), or mix general "
        "examples into the training data",
    ),
    (
        ("degeneration", "new degeneration"),
        "replies that loop or do not stop point to the end-of-turn token missing in training, or "
        "to a learning rate or number of epochs that is too high; so do recited training answers, "
        "and marks of a template to training with another one",
    ),
    (
        ("invariance loss", "refusal flip"),
        "the wording of a prompt matters more than it did: look for words and forms that go with "
        "one answer in the training data, and add the same questions in other forms",
    ),
    (
        ("attention",),
        "the models look elsewhere: that says where, not why; take the word that gained or lost "
        "out of the prompt, and see whether the reply changes as the attention says",
    ),
    (
        ("format lost",),
        "formats are lost that the base keeps: mix prompts that ask for JSON, choices or tool "
        "calls into the training data, with answers that have nothing around them",
    ),
    (
        ("semantic drift", "divergence"),
        "behaviour moved beyond its limit: read the replies; where the change is unwanted, mix "
        "such prompts with the base's own replies into the training data, or train more gently",
    ),
)


def advice(rows: Sequence[Mapping[str, Any]], found: Mapping[str, int]) -> Iterator[str]:
    """What to do, first things first; `found` has the number of tests by outcome."""
    broken = {v["name"] for r in rows for v in r["verdicts"] if v["outcome"] == "regressed"}
    if _all_same(rows):
        yield (
            "every reply is the base's, word for word: is the adapter the right one, and does it "
            "change anything? assert_adapter_effective(llm_pair) tells"
        )
    wanted = {next((hint for beginnings, hint in _BROKEN if name.startswith(beginnings)), None)
              for name in broken}  # fmt: skip
    yield from (hint for _, hint in _BROKEN if hint in wanted)
    if found["inconclusive"]:
        needed = [
            v["decides"] for row in rows for verdict in row["verdicts"]
            if (v := verdict["set"]) and v["decides"]
        ]  # fmt: skip
        more = f"about {_range(needed)} probes like theirs would decide, or" if needed else "take"
        yield (
            f"inconclusive, {counted(found['inconclusive'], 'test')}: {more} a wider limit; "
            "llmdiff_inconclusive says what becomes of such tests"
        )
    if found["not judged"]:
        yield (
            f"not judged, {counted(found['not judged'], 'test')}: each says why; "
            "--llmdiff-embedder and --llmdiff-toxicity choose other scorers where one does not "
            "know the language or length"
        )


def _range(sizes: Sequence[int]) -> str:
    """How many probes decide one test, or the first and the last of several."""
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"


def _all_same(rows: Sequence[Mapping[str, Any]]) -> bool:
    compared: int = sum(row["compared"] for row in rows)
    return compared > 1 and compared == sum(row["same"] for row in rows)
