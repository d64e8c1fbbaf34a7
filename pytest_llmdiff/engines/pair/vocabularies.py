"""What the vocabularies of two models have in common, where a tuned model's has grown or shrunk.

A model's rows are those of its embeddings, and so the width of its logits. Rows that no token of
its tokenizer uses are padding: models are padded to various multiples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from pytest_llmdiff.data.text.printing import counted, printable
from pytest_llmdiff.engines import capability

SHOWN = 3


def unlike_tokenizers(base: Any, tuned: Any) -> str | None:
    """Why the tokens of two engines cannot be compared, or None."""
    if base.renderer.path == tuned.renderer.path:
        return None
    ours, theirs = base.tokenizer.get_vocab(), tuned.tokenizer.get_vocab()
    shared = ours.keys() & theirs.keys()
    if len(shared) < min(len(ours), len(theirs)) or any(ours[t] != theirs[t] for t in shared):
        return "the tokenizers of base and tuned model differ, so their tokens cannot be compared"
    return None


def used_rows(engine: Any) -> int:
    """The number of rows up to the last one that a token of the tokenizer uses; padding follows."""
    return 1 + max(engine.tokenizer.get_vocab().values(), default=-1)


def text_of(base: Any, tuned: Any) -> Callable[[int], str]:
    """The text of a token that at least one of two like tokenizers has."""
    if base.renderer.path == tuned.renderer.path:
        return lambda token: str(base.token_text(token))
    own = used_rows(base)
    return lambda token: str((base if token < own else tuned).token_text(token))


def rows_of(engine: Any) -> float:
    """The number of rows of an engine's model; infinite where it is unknown, as for servers. Only a
    GGUF file is loaded to find out."""
    for name in ("declared_rows", "embedding_rows"):
        count = capability(engine, name)
        if count is not None and (found := count()) is not None:
            return float(found)
    return math.inf


def readable(ids: Sequence[int], rows: float) -> tuple[int, ...]:
    """The first tokens of a text, as far as a model of so many rows has them."""
    return tuple(takewhile(lambda token: token < rows, ids))


def vocabulary_note(base: Any, tuned: Any) -> str | None:
    """What to say of models whose rows differ in number, by their files; None if they do not."""
    rows = [capability(engine, "declared_rows") for engine in (base, tuned)]
    if None in rows:
        return None
    ours, theirs = (count() for count in rows)
    if ours is None or theirs is None or ours == theirs:
        return None
    shared, more = min(ours, theirs), abs(ours - theirs)
    whose, wider = ("base", base) if ours > theirs else ("tuned model", tuned)
    vocabulary = wider.tokenizer.get_vocab()
    tokens = sorted((t for t in vocabulary if vocabulary[t] >= shared), key=vocabulary.__getitem__)
    named = [f"{counted(len(tokens), 'token')} ({', '.join(map(printable, tokens[:SHOWN]))}"
             f"{', …' if len(tokens) > SHOWN else ''})"] if tokens else []  # fmt: skip
    if more > len(tokens):
        named.append(f"{counted(more - len(tokens), 'row')} of padding that no token uses")
    counts = (
        "what the tuned model gives to them is missing from the others"
        if wider is tuned
        else "what the base gives to such a token is lost, and its padding is left out"
    )
    return (
        f"the vocabularies differ: {shared} token ids are in both models, {more} only in the "
        f"{whose}: {' and '.join(named)}; divergences are those of the ids that both have, and "
        f"{counts}"
    )
