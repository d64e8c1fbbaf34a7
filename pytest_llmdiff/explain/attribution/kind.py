"""A failure word by word: how much each word of the prompt matters to the tuned reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.explain.attribution.attribution import AttributionRun, attribution
from pytest_llmdiff.explain.attribution.rows import attribution_row, words_block
from pytest_llmdiff.explain.attribution.values import Attribution, Terms
from pytest_llmdiff.explain.blocks import Block
from pytest_llmdiff.explain.kind import Budget, Kind, Sources

TERMS = Terms(most_words=40)  # each word costs a pass of both models
WORDS = 3  # in a line
LONGEST = 24  # columns of a word, or of several that were left out together
LEAST = 0.05  # nats below which a line leaves a word out


def _compute(sources: Sources, comparison: Comparison) -> Attribution | None:
    if comparison.run is None or sources.reloads:
        return None
    return attribution(cast("AttributionRun", comparison.run), comparison, TERMS)


def _lines(attribution: Attribution, comparison: Comparison) -> list[str]:
    """The words that make the second reply likelier, or less likely; first those whose scores
    differ most between the models."""
    first, second = comparison.sides
    method = attribution.methods[0]
    columns = zip(attribution.words, method.base.scores, method.tuned.scores, strict=True)
    ordered = sorted(columns, key=lambda each: -abs(each[2] - each[1]))
    named = [
        f'"{printable(shortened(word.text, LONGEST))}" {tuned:+.1f} ({first} {base:+.1f})'
        for word, base, tuned in ordered[:WORDS]
        if max(abs(base), abs(tuned)) >= LEAST
    ]
    return [f"  words    {', '.join(named)} nats for the {second} reply"] if named else []


def _row(attribution: Attribution) -> dict[str, Any]:
    method = attribution.methods[0]
    columns = zip(attribution.words, method.base.scores, method.tuned.scores, strict=True)
    return {
        "words": {
            "method": method.method,
            "of": attribution.of,
            "unit": attribution.unit,
            "left_out": attribution.left_out,
            "segmented_by": attribution.segmented_by,
            "text": attribution.text,
            "base": [rounded(method.base.whole), rounded(method.base.without)],
            "tuned": [rounded(method.tuned.whole), rounded(method.tuned.without)],
            "scores": [
                [word.text, word.start, word.end, rounded(base), rounded(tuned)]
                for word, base, tuned in columns
            ],
        }
    }


def _page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    row, names = comparison["words"], comparison["sides"]
    *places, base, tuned = zip(*row["scores"], strict=True)
    sides = {"base": {"scores": base}, "tuned": {"scores": tuned}}
    held = {**row, "words": list(zip(*places, strict=True)), "agreement": [],
            "methods": [{"method": row["method"], **sides}]}  # fmt: skip
    yield words_block(held, names)


WORD_BY_WORD = Kind(
    title="word by word",
    tab="words",
    budget=Budget(least=1, per=40, most=5),
    compute=_compute,
    lines=_lines,
    row=_row,
    page=_page,
)


# What tests asked for by themselves: `pytest_llmdiff.attribution`. A failure computes none.


def _asked_row(found: Sequence[Attribution]) -> dict[str, Any]:
    return {"attributions": [attribution_row(each) for each in found]}


def _asked_page(comparison: Mapping[str, Any]) -> Iterator[Block]:
    for row in comparison["attributions"]:
        yield words_block(row, comparison["sides"])


ASKED_FOR = Kind(
    title="as the test asked", tab="words", budget=None,
    compute=lambda *_: None, lines=lambda *_: [], row=_asked_row, page=_asked_page,
)  # fmt: skip
