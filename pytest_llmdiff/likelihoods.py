"""How likely the models find given texts: in batches, once, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.comparison import Side
from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.generation import Generation
from pytest_llmdiff.passages import Likelihood, Passage

WHAT = "reply-score"  # their name in the store and in recordings


def likelihoods(
    generation: Generation,
    side: Side,
    passages: Sequence[Passage],
    around: Callable[[], Sequence[Passage]] = list,
) -> list[Likelihood]:
    """Likelihoods of the passages; where any is missing, those `around` are computed as well.

    Raises:
        CapabilityError: the engine has no logits, or a recording lacks a passage.
        ProbeError: a passage has no tokens.
    """
    own = list(map(_about, passages))
    if not own:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, asked: list[Any]) -> list[list[float]]:
        from pytest_llmdiff.engines.likelihoods import passage_logprobs

        return passage_logprobs(engine, list(map(_passage, asked)), device)

    values = generation.facts.get_all(
        WHAT,
        side,
        own,
        compute,
        around=lambda: list(map(_about, around())),
        alone=True,
    )
    return [Likelihood(token_logprobs=tuple(found)) for found in values]


def _about(passage: Passage) -> list[Any]:
    return [[dict(message) for message in passage.after], passage.text]


def _passage(about: list[Any]) -> Passage:
    messages, text = about
    return Passage(
        text=text, after=tuple(Message(role=m["role"], content=m["content"]) for m in messages)
    )
