"""Where replies of two models of a pair part: computed once, kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmdiff.comparison import Comparison, Reply
from pytest_llmdiff.engines.partings import Ending, Parting
from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.generation import Generation


def partings(generation: Generation, comparisons: Sequence[Comparison]) -> list[Parting]:
    """Where the second reply of each comparison leaves the first, by one pass of the first model.

    Raises:
        CapabilityError: its engine has no logits.
    """
    about = [_about(c) for c in comparisons]
    if not about:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, asked: list[Any]) -> list[dict[str, Any]]:
        from pytest_llmdiff.engines.partings import partings as found

        return [asdict(parting) for parting in found(engine, list(map(_asked, asked)), device)]

    values = generation.remembered_all("parting", "base", about, compute)
    return [Parting(**value) for value in values]


def _about(comparison: Comparison) -> list[Any]:
    messages = [dict(message) for message in comparison.probe.messages]
    return [messages, _ending(comparison.base), _ending(comparison.tuned)]


def _ending(reply: Reply) -> list[Any]:
    return [reply.text, list(reply.token_ids), reply.finish_reason == "stop"]


def _asked(about: list[Any]) -> tuple[tuple[Message, ...], Ending, Ending]:
    messages, *replies = about
    own, other = (
        Ending(text=text, token_ids=tuple(ids), ended=ended) for text, ids, ended in replies
    )
    return tuple(Message(role=m["role"], content=m["content"]) for m in messages), own, other
