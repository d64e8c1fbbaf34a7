"""A failure word by word: how much each word of the prompt matters to the tuned reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.plain_json import rounded
from pytest_llmdiff.data.text.printing import printable, shortened
from pytest_llmdiff.explain.attribution.attribution import AttributionRun, attribution
from pytest_llmdiff.explain.attribution.values import Attribution, Terms
from pytest_llmdiff.explain.blocks import STEPS, Block, table, words
from pytest_llmdiff.explain.kind import Budget, Kind, Sources

TERMS = Terms(most_words=40)  # each word costs a pass of both models
WORDS = 3  # in a line
LONGEST = 24  # columns of a word, or of several that were left out together
LEAST = 0.05  # nats below which a line leaves a word out, and a mark is paler


def _compute(sources: Sources, comparison: Comparison) -> Attribution | None:
    if comparison.run is None or sources.reloads:
        return None
    return attribution(cast("AttributionRun", comparison.run), comparison, TERMS)


def _lines(attribution: Attribution, comparison: Comparison, *_: object) -> list[str]:
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
    """The message with its words marked, for each model, and a table of the scores."""
    row, names = comparison["words"], comparison["sides"]
    # Scores that are not finite are null in JSON.
    scores = [(*place, base or 0.0, tuned or 0.0) for *place, base, tuned in row["scores"]]
    # At least what a line names, so that rounding alone leaves no marks.
    most = max([LEAST, *(abs(x) for *_, base, tuned in scores for x in (base, tuned))])
    for side, name in reversed(list(enumerate(names))):
        yield words(
            f"Words of the prompt, for {name}",
            f"The stronger the mark, the likelier the word makes the {names[1]} reply for {name}; "
            "an underlined word makes it less likely. Point at a word to see its score.",
            list(_marked(row["text"], scores, side, most)),
        )
    yield table(
        f"Words of the prompt: scores for the {names[1]} reply, by {row['method']}, in "
        f"{row['unit']}",
        ("word", names[0], names[1], "change"),
        [(text, base, tuned, tuned - base) for text, _, _, base, tuned in scores],
    )


def _marked(
    text: str, scores: Sequence[Sequence[Any]], side: int, most: float
) -> Iterator[list[Any]]:
    """The pieces of a text, the words among them marked by one model's scores."""
    done = 0
    for _, start, end, *both in scores:
        if start > done:
            yield [text[done:start]]
        heat = round(STEPS * abs(both[side]) / most)
        yield [text[start:end], heat, both[side] < 0, f"{both[side]:+.3g}"]
        done = end
    if text[done:]:
        yield [text[done:]]


WORD_BY_WORD = Kind(
    title="word by word",
    tab="words",
    budget=Budget(least=1, per=40, most=5),
    compute=_compute,
    lines=_lines,
    row=_row,
    page=_page,
)
