"""What explains a verdict, as blocks that the page folds under its test.

A block has a title, and lines, a table, tokens or words. A further explanation is one more
function from a row that holds its facts to blocks; the page shows blocks of each form whatever they
are about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_llmdiff.reports.learnt import advice_of, layers_text, percent
from pytest_llmdiff.reports.phrases import measure_of
from pytest_llmdiff.reports.text import number, printable, shortened

Block = dict[str, Any]
LONGEST = 2000  # columns of a line
STEPS = 6  # of marking
MAPPED, KEYS = 24, 96  # rows and columns of a map: more of them cannot be taken in
WIDEST = 24  # characters of a token beside a map
STRONG = 3.0  # nats from which on a token is marked at full strength


def lines(title: str, found: Sequence[object]) -> Block:
    return {"title": title, "lines": [_text(line) for line in found]}


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Block:
    return {"title": title, "head": list(head), "rows": [[_text(c) for c in row] for row in rows]}


def tokens(title: str, names: Sequence[str], found: Sequence[Sequence[Any]]) -> Block:
    """The tokens of a reply: of each its text, how strongly it is marked, KL in nats, and its
    probability under either of the two models."""
    return {"title": title, "names": list(names), "tokens": [_token(*each) for each in found]}


def _token(text: str, kl: float | None, *logprobs: float | None) -> list[Any]:
    heat = 0 if kl is None else round(STEPS * min(kl / STRONG, 1.0))
    chances = [0.0 if x is None else math.exp(x) for x in logprobs]
    # A line end can be seen, and breaks the line.
    shown = printable(text).replace("\\n", "⏎\n")
    return [shown, heat, *(float(f"{x:.3g}") for x in (kl or 0.0, *chances))]


def attention_map(
    title: str, keys: Sequence[str], reply: Sequence[str], rows: Sequence[Sequence[float]]
) -> Block:
    """What one head looks at: a row for each token of a reply, with a digit for each token that it
    can look back at, the higher the more of the attention is there."""
    told = [
        [_inline(token), "".join(str(round(STEPS * math.sqrt(share))) for share in shares[-KEYS:])]
        for token, shares in zip(reply[:MAPPED], rows, strict=False)
    ]
    return {"title": title, "map": {"keys": [_inline(key) for key in keys[-KEYS:]], "rows": told}}


def _inline(text: str) -> str:
    return shortened(printable(text).replace("\\n", "⏎"), WIDEST)


def words(title: str, hint: str, found: Sequence[Sequence[Any]]) -> Block:
    """A text in pieces: of each its text, how strongly it is marked, whether for less, and what is
    said of it; pieces without a mark have their text alone."""
    return {"title": title, "hint": hint, "words": [[printable(t), *rest] for t, *rest in found]}


def row_folds(row: Mapping[str, Any]) -> Iterator[Block]:
    """Of a test: what its checks found, and the figures behind each measure."""
    for verdict in row["verdicts"]:
        details = verdict["details"]
        for key, title in (
            ("problems", "What is wrong"),
            ("next", "What to do"),
            ("notes", "Notes"),
        ):
            if found := details.get(key):
                yield lines(f"{title}: {measure_of(verdict)}", found)
        if verdict["unsupported"]:
            yield lines(f"Why it was not judged: {measure_of(verdict)}", [verdict["unsupported"]])
        figures = [
            (key.replace("_", " "), value)
            for key, value in details.items()
            if isinstance(value, (str, int, float)) and value != ""
        ]
        if figures and verdict["outcome"] != "passed":
            yield table(f"Behind it: {measure_of(verdict)}", ("", ""), figures)
    for name, figures in row["many"].items():
        held = [(key, figures[key]) for key in ("count", "regressed", "median", "largest")]
        yield table(f"All values of {name}", ("", ""), held)


def comparison_folds(comparison: Mapping[str, Any]) -> Iterator[Block]:
    """Of one probe: its replies token by token, and where the tuned one was learnt."""
    if (seen := comparison["seen"]) is not None:
        yield from _seen_folds(seen, comparison["sides"])
    if (looked := comparison["attention"]) is not None:
        yield from _attention_folds(looked, comparison["sides"])
    if (words := comparison["words"]) is not None:
        yield from _word_folds(words, comparison["sides"])
    if comparison["nearest"]:
        yield table(
            "Nearest training examples",
            ("similarity", "example", "prompt", "answer to learn"),
            [
                (
                    near["similarity"],
                    f"{near['dataset']} {near['number']}",
                    near["prompt"],
                    "none" if near["answer"] is None else near["answer"],
                )
                for near in comparison["nearest"]
            ],
        )
    if (learnt := comparison["learnt"]) is not None:
        yield from _learnt_folds(learnt)
    if (carried := comparison["carried"]) is not None and carried["layers"]:
        yield from _carried_folds(carried)
    if (leak := comparison["leak"]) is not None:
        said = "this prompt" if leak["kind"] == "same" else "nearly this prompt"
        where = f"{leak['dataset']} {leak['number']}"
        yield lines("In the training data", [f"{said} is in the training data: {where}"])
    if comparison["near_tie"]:
        said = "rounding may have decided a token of this reply: two were as likely as it can tell"
        yield lines("A near-tie", [said])


def _seen_folds(seen: Mapping[str, Any], names: Sequence[str]) -> Iterator[Block]:
    first, second = names
    if seen["base_likely"]:
        yield table(
            f"Next tokens where the replies part (token {seen['at'] + 1})",
            (first, "probability", second, "probability"),
            [
                (ours[0], ours[1], theirs[0], theirs[1])
                for ours, theirs in zip(seen["base_likely"], seen["tuned_likely"], strict=True)
            ],
        )
    for side, name in zip(("base", "tuned"), names, strict=True):
        if seen[side]:
            yield tokens(f"Reply of {name}, token by token", names, seen[side])


def _attention_folds(looked: Mapping[str, Any], names: Sequence[str]) -> Iterator[Block]:
    first, second = names
    if looked["words"]:
        yield table(
            "Words of the prompt whose share of the attention changed most",
            ("word", first, second, "change"),
            [(word, base, tuned, tuned - base) for word, base, tuned in looked["words"]],
        )
    yield table(
        f"Heads that moved most (mean of all {number(looked['shift'])} bits)",
        ("layer", "head", "bits"),
        looked["heads"],
    )
    if (found := looked["map"]) is None:
        return
    where = f"layer {found['layer']}, head {found['head']}"
    for side, name in zip(("base", "tuned"), names, strict=True):
        yield attention_map(
            f"Where {name} looks: {where}", found["keys"], found["reply"], found[side]
        )


def _word_folds(found: Mapping[str, Any], names: Sequence[str]) -> Iterator[Block]:
    """What each word of the prompt counts for: under either model in the text, both in a table."""
    said = f"{names[1]} reply, by {found['method']}, in {found['unit']}"
    # What is not finite is no number in JSON.
    scores = [(*place, base or 0.0, tuned or 0.0) for *place, base, tuned in found["scores"]]
    most = max((abs(x) for *_, base, tuned in scores for x in (base, tuned)), default=0.0)
    for side, name in reversed(list(enumerate(names))):
        yield words(
            f"Words of the prompt, for {name}",
            f"The stronger a word is marked, the likelier the {names[1]} reply is with it to "
            f"{name}; underlined, the less likely. Its score is shown by pointing at it.",
            list(_marked_words(found["text"], scores, side, most)),
        )
    yield table(
        f"Words of the prompt: what they count for in the {said}",
        ("word", names[0], names[1], "change"),
        [(text, base, tuned, tuned - base) for text, _, _, base, tuned in scores],
    )


def _marked_words(
    text: str, scores: Sequence[Sequence[Any]], side: int, most: float
) -> Iterator[list[Any]]:
    done = 0
    for _, start, end, *both in scores:
        if start > done:
            yield [text[done:start]]
        heat = round(STEPS * abs(both[side]) / most) if most else 0
        yield [text[start:end], heat, both[side] < 0, f"{both[side]:+.3g}"]
        done = end
    if text[done:]:
        yield [text[done:]]


def _learnt_folds(learnt: Mapping[str, Any]) -> Iterator[Block]:
    """The training examples that push towards the tuned reply, and what follows."""
    if not (examples := learnt["examples"]):
        return
    yield table(
        f"Training examples that push towards the reply ({learnt['judged']} of {learnt['known']} "
        "were looked at)",
        ("gradient", "example", "prompt", "answer to learn"),
        [(e["score"], f"{e['dataset']} {e['number']}", e["prompt"], e["answer"]) for e in examples],
    )
    score = examples[0]["score"]
    if advice := advice_of(learnt["pattern"], learnt["alike"], learnt["judged"], score):
        yield lines("Data or training?", [advice])


def _carried_folds(carried: Mapping[str, Any]) -> Iterator[Block]:
    """Which layers and kinds of modules carry the change."""
    layers = layers_text(carried["fewest"], len(carried["layers"]))
    yield lines("Where in the adapter", [f"{percent(carried['kept'])} of the change by {layers}"])
    for title, key in (("Layers alone", "layers"), ("Kinds of modules alone", "kinds")):
        shares = [(name, percent(share)) for name, share in carried[key]]
        yield table(title, ("part", "share of the change"), shares)


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return shortened("none" if value is None else str(value), LONGEST)
