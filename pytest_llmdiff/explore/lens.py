"""What the tuned model was tuned on, read from its activations on texts about nothing, and from the
user turns that tuning made likelier."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import capability
from pytest_llmdiff.errors import CapabilityError, ModelError
from pytest_llmdiff.explore.values import Lens
from pytest_llmdiff.explore.words import bag
from pytest_llmdiff.verdicts.multiple_testing import adjusted

if TYPE_CHECKING:
    from pytest_llmdiff.explore.run import ExploreRun

CONTROLS = 6
MOST = 12  # words
LETTERS = 3  # of a token that is shown
FEWEST = 3  # turns with a word
ERROR = 0.05  # share of words that may be due to chance (false discovery rate)
_PARTS = re.compile(r"(?<=[.,:;])\s+")


def read_lens(run: ExploreRun, *, seed: int) -> Lens:
    """The words in the activation difference that stand above those of random adapters."""
    tuned = run.generation.pair.tuned
    if capability(tuned, "activation_words") is None:
        return Lens(unknown=f"{type(tuned).__name__} shows no activations")
    about = [CONTROLS, seed, len(_texts())]

    def compute(engine: Any) -> dict[str, Any]:
        ids = [engine.encode(text) for text in _texts()]
        found = engine.activation_words(ids, controls=CONTROLS, seed=seed)
        words = [[engine.token_text(token), value] for token, value in found["tokens"]]
        return {**found, "words": words}

    try:
        found = run.generation.memo.get("activation words", "tuned", about, compute)
    except (CapabilityError, ModelError) as error:
        return Lens(unknown=str(error))
    words: dict[str, float] = {}
    for token, value in found["words"]:
        word = token.strip().lower()
        if value > found["control"] and len(word) >= LETTERS and word.isalpha():
            words.setdefault(word, value)
    kept = tuple(list(words.items())[:MOST])
    return Lens(
        words=kept, control=found["control"], texts=found["texts"], controls=CONTROLS,
        in_training=_in_training(run, [word for word, _ in kept]),
    )  # fmt: skip


def words_of_turns(
    amplified: Sequence[str], own: Sequence[str]
) -> tuple[tuple[str, float, float], ...]:
    """Words that are in more of the amplified turns than of the base's own by more than chance
    (Fisher's exact test, adjusted over all words), with both shares, the clearest first."""
    if not amplified or not own:
        return ()
    from scipy.stats import hypergeom

    ours, theirs = (
        Counter(word for text in texts for word in bag(text)) for texts in (amplified, own)
    )
    words = sorted(word for word, count in ours.items() if count >= FEWEST)
    total = len(amplified) + len(own)
    chances = [
        float(hypergeom.sf(ours[word] - 1, total, ours[word] + theirs[word], len(amplified)))
        for word in words
    ]
    found = sorted(zip(adjusted(chances), words, strict=True))
    return tuple(
        (word, ours[word] / len(amplified), theirs[word] / len(own))
        for chance, word in found[:MOST]
        if chance <= ERROR
    )


def _texts() -> list[str]:
    """Some 200 neutral beginnings: the parts of the sentences that retention is measured on."""
    found = list[str]()
    for name in ("texts-en.jsonl", "probes-en.jsonl"):
        place = files("pytest_llmdiff.suites").joinpath("retention", name)
        for line in place.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            text = str(row.get("text") or row.get("prompt"))
            found += [text, *(part for part in _PARTS.split(text)[1:] if len(part) > 20)]
    return list(dict.fromkeys(found))


def _in_training(run: ExploreRun, words: list[str]) -> tuple[str, ...] | None:
    data = run.trained.known_data
    if data is None:
        return None
    texts = [
        f"{example.messages[-1]['content']} {example.answer or ''}"
        for dataset in data.datasets
        for example in dataset.examples
    ]
    known = frozenset[str]().union(*map(bag, texts))
    return tuple(word for word in words if any(word in held for held in known))
