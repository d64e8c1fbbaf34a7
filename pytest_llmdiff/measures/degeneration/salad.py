"""Word salad: replies that the base finds no likelier than the same words in any other order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.text.language.words import units
from pytest_llmdiff.data.text.loops import is_structure
from pytest_llmdiff.measures.degeneration.evidence import Evidence
from pytest_llmdiff.measures.inputs import base_likelihoods_of

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import Likelihood, Passage

# Measured with SmolLM2-135M after one question: seven salads of 13 to 21 words cost 6.5 to 11.0
# nats per token, and fifteen replies of all kinds (slang, Spanish, Polish, lists, code) 2.3 to 6.0.
SURPRISE = 6.25
# In another order, salads cost at most 1.9 nats per token more; replies as surprising as slang 2.5.
ORDER = 2.0
# A base that finds its own reply as surprising as this is no judge: it is broken or untrained.
OWN_SURPRISE = 3.0
FROM = 10  # words (characters of Chinese)


def salads(comparisons: Sequence[Comparison]) -> list[Evidence | None]:
    """The word salads among the tuned replies, by the likelihood under the base (nats per token).

    Where the base has no likelihoods, or comparisons have no run, none is found.
    """
    likelihoods = base_likelihoods_of(comparisons, _asked)
    suspects = [
        comparison
        for comparison, found in zip(comparisons, likelihoods, strict=True)
        if found and _surprise(found[0]) >= SURPRISE
    ]
    checked = iter(base_likelihoods_of(suspects, _checks, together=False))
    evidence = {
        id(comparison): _evidence(comparison, found)
        for comparison, found in zip(suspects, checked, strict=True)
    }
    return [evidence.get(id(comparison)) for comparison in comparisons]


def _asked(comparison: Comparison) -> list[Passage]:
    """The tuned reply, if it is long enough, other than the base's, and prose."""
    text, base = comparison.tuned.text.strip(), comparison.base.text.strip()
    if text == base or len(units(text)) < FROM or is_structure(text):
        return []
    return [_passage(comparison, text)]


def _checks(comparison: Comparison) -> list[Passage]:
    """The tuned reply, its words in another order, and the base's own reply."""
    text = comparison.tuned.text.strip()
    texts = [text, _reordered(text), comparison.base.text.strip()]
    return [_passage(comparison, text) for text in texts] if texts[2] else []


def _passage(comparison: Comparison, text: str) -> Passage:
    from pytest_llmdiff.data.tokens import Passage

    return Passage(text=text, after=comparison.probe.messages)


def _reordered(text: str) -> str:
    """The words of a text, or the characters of one without spaces, in a fixed random order."""
    spaced = len(text.split()) >= FROM
    parts = text.split() if spaced else list(text)
    random.Random(0).shuffle(parts)
    return (" " if spaced else "").join(parts)


def _evidence(comparison: Comparison, found: Sequence[Likelihood]) -> Evidence | None:
    if not found:
        return None
    said, reordered, own = map(_surprise, found)
    if not (own <= OWN_SURPRISE and reordered - said < ORDER):
        return None
    return Evidence(
        kind="word salad",
        problem=f"the base finds no sense in the reply: {said:.1f} nats per token, and "
        f"{reordered:.1f} with its words in another order",
        start=0,
        quote=comparison.tuned.text.strip(),
    )


def _surprise(likelihood: Likelihood) -> float:
    return -likelihood.mean if math.isfinite(likelihood.mean) else math.inf
