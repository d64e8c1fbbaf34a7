"""Where another engine's reply leaves a model's own, and how sure the model was of its token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmdiff.data.comparison import Comparison, Reply
from pytest_llmdiff.data.messages import Message
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.engines.pair.divergence import rows_for
from pytest_llmdiff.engines.pair.likelihoods import require_logits


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A reply as far as it is known: its text, its tokens where the engine tells them, and whether
    it came to an end by itself."""

    text: str
    token_ids: tuple[int, ...] = ()
    ended: bool = True


@dataclass(frozen=True, kw_only=True)
class FirstDifference:
    """The first token that differs, from 0: the model's `own` and the `other`'s as texts, and by
    how much (difference of logits, in nats) the model held its likeliest token for better than
    the other's. `at` is None where no token differs; `end` says that one of the
    two is a stop token."""

    at: int | None = None
    own: str = ""
    other: str = ""
    margin: float = 0.0
    end: bool = False


Asked = tuple[Sequence[Message], Ending, Ending]


def about(comparison: Comparison) -> list[Any]:
    """Prompt and replies of a comparison as plain JSON, for the store."""
    messages = [dict(message) for message in comparison.probe.messages]
    return [messages, _ending(comparison.base), _ending(comparison.tuned)]


def _ending(reply: Reply) -> list[Any]:
    return [reply.text, list(reply.token_ids), reply.finish_reason == "stop"]


def asked(about: list[Any]) -> Asked:
    """The same, read back."""
    messages, *replies = about
    own, other = (
        Ending(text=text, token_ids=tuple(ids), ended=ended) for text, ids, ended in replies
    )
    return tuple(Message(role=m["role"], content=m["content"]) for m in messages), own, other


def first_differences(engine: Any, asked: Sequence[Asked], device: str) -> list[FirstDifference]:
    """Where the other reply leaves the model's own, for each (prompt, own reply, other reply).

    One pass of the engine over what the two replies have in common.

    Raises:
        CapabilityError: the engine has no logits.
    """
    require_logits(engine)
    rows = rows_for(device, len(engine.tokenizer))
    found = [FirstDifference() for _ in asked]
    places: list[int] = []
    items: list[Continuation] = []
    for index, (messages, own, other) in enumerate(asked):
        ours, theirs = reply_tokens(engine, own, other)
        at = first_difference(ours, theirs, cut=True)  # by the length limit
        if at is None:
            continue
        places.append(index)
        items.append(
            # The last token is only asked about: what is said of it rests on those before it.
            Continuation(
                prompt_ids=tuple(engine.render(messages)), reply_ids=(*ours[:at], theirs[at])
            )
        )
        texts = (engine.token_text(ours[at]), engine.token_text(theirs[at]))
        end = not {ours[at], theirs[at]}.isdisjoint(engine.stop_ids())
        found[index] = FirstDifference(at=at, own=texts[0], other=texts[1], end=end)
    for number, margin in _margins(engine, items, rows) if items else ():
        index = places[number]
        found[index] = replace(found[index], margin=margin)
    return found


def _margins(engine: Any, items: Sequence[Continuation], rows: int) -> Iterator[tuple[int, float]]:
    """By how much the likeliest token is ahead of the last one of each item."""
    likeliest = capability(engine, "likely_tokens")
    if likeliest is not None:
        for number, found in likeliest(items):
            last = found[-1]
            yield number, max(last.values()) - last[items[number].reply_ids[-1]]
        return
    for number, logits in engine.token_logits(items, rows):
        scores = logits[-1].float()  # [vocabulary]
        yield number, float(scores.max() - scores[items[number].reply_ids[-1]])


def reply_tokens(engine: Any, own: Ending, other: Ending) -> tuple[list[int], list[int]]:
    """Both replies in the engine's tokens, with a stop token behind those that came to an end.

    Where one of them is known as text only, both are taken as texts: what a model said may be cut
    into tokens otherwise than the same text is.
    """
    if own.token_ids and other.token_ids:
        return list(own.token_ids), list(other.token_ids)
    stop = next(iter(engine.stop_ids()), None)
    ours, theirs = (
        [*engine.encode(ending.text), *([stop] if ending.ended and stop is not None else [])]
        for ending in (own, other)
    )
    return ours, theirs
