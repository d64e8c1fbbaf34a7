"""How likely a model finds given replies, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_llmdiff.engines import Continuation, capability
from pytest_llmdiff.errors import CapabilityError


def reply_logprobs(
    engine: Any, items: Sequence[Continuation], rows: int
) -> Iterator[tuple[int, list[float]]]:
    """Index and log-probabilities (nats) of each reply token, in batches of like length.

    `rows` bounds the reply tokens whose logits `[rows, vocabulary]` are held at once.

    Raises:
        CapabilityError: the engine has no logits.
    """
    require_logits(engine)
    order = sorted(
        range(len(items)),
        key=lambda i: len(items[i].prompt_ids) + len(items[i].reply_ids),
        reverse=True,
    )
    for position, logits in engine.token_logits([items[i] for i in order], rows):
        item = items[order[position]]
        scores = logits.float()
        reply = scores.new_tensor(item.reply_ids).long()[:, None]
        found = scores.gather(-1, reply)[:, 0] - scores.logsumexp(-1)
        yield order[position], found.tolist()


def require_logits(engine: Any) -> None:
    """Raises CapabilityError where the engine cannot score given replies."""
    if capability(engine, "token_logits") is None:
        raise CapabilityError(f"{type(engine).__name__} has no logits to score a reply with")
