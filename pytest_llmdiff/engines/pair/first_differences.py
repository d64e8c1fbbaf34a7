"""Where another engine's reply first differs from a model's own, and by how much the model
preferred its own token."""

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
from pytest_llmdiff.engines.pair.lower_bounds import NOTHING


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is known of a reply: its text, its tokens where the engine returns them, and whether it
    ended by itself rather than at the length limit."""

    text: str
    token_ids: tuple[int, ...] = ()
    ended: bool = True


@dataclass(frozen=True, kw_only=True)
class FirstDifference:
    """The first token that differs: its index `at`, None where no token differs; the model's `own`
    token and the `other` one as texts; and `margin`, by how much the model preferred its likeliest
    token over the other one (difference of logits, in nats). With `end`, one of the two is a stop
    token."""

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
    return tuple(messages), own, other


def first_differences(engine: Any, asked: Sequence[Asked], device: str) -> list[FirstDifference]:
    """The first difference of each (prompt, own reply, other reply).

    It takes one pass of the engine over what the two replies have in common.

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
            # The other token is appended only to read its logit, which depends on those before it.
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
    """By how much the likeliest token is preferred over the last token of each item."""
    likeliest = capability(engine, "likely_tokens")
    if likeliest is not None:
        for number, found in likeliest(items):
            last = found[-1]
            yield number, max(last.values()) - last[items[number].reply_ids[-1]]
        return
    for number, logits in engine.token_logits(items, rows):
        scores = logits[-1].float().log_softmax(-1)  # [vocabulary]
        other = items[number].reply_ids[-1]
        # The other model may have tokens that this one has not.
        least = float(scores[other]) if other < len(scores) else NOTHING
        yield number, float(scores.max()) - least


def reply_tokens(engine: Any, own: Ending, other: Ending) -> tuple[list[int], list[int]]:
    """Both replies in the engine's tokens, with a stop token after those that ended by themselves.

    Where one is known as text only, both are tokenized from text: a model may generate a text as
    other tokens than the tokenizer makes of it.
    """
    if own.token_ids and other.token_ids:
        return list(own.token_ids), list(other.token_ids)
    stop = next(iter(engine.stop_ids()), None)
    ours, theirs = (
        [*engine.encode(ending.text), *([stop] if ending.ended and stop is not None else [])]
        for ending in (own, other)
    )
    return ours, theirs
