"""How likely each model finds given texts: computed in batches, once, and stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import Side
from pytest_llmdiff.data.tokens import Likelihood, Passage
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.generation.generator import ReplyGenerator

WHAT = "reply-score"  # the name of these facts in the store and in recordings


def likelihoods(
    generation: ReplyGenerator,
    side: Side,
    passages: Sequence[Passage],
    around: Callable[[], Sequence[Passage]] = list,
) -> list[Likelihood | str]:
    """The likelihood of each passage, or why it has none (`passage_logprobs`). If any is missing,
    those of the passages `around` are computed as well.

    Raises:
        CapabilityError: the engine has no logits, or a recording lacks a passage.
    """
    own = list(map(_about, passages))
    if not own:
        return []
    device = generation.pair.resolved.get("device", "cpu")

    def compute(engine: Any, asked: list[Any]) -> list[list[float] | str]:
        from pytest_llmdiff.engines.pair.likelihoods import passage_logprobs

        return passage_logprobs(engine, list(map(_passage, asked)), device)

    values = generation.memo.get_all(
        WHAT,
        side,
        own,
        compute,
        around=lambda: list(map(_about, around())),
        alone=True,
    )
    return [
        found if isinstance(found, str) else Likelihood(token_logprobs=tuple(found))
        for found in values
    ]


def all_likelihoods(
    generation: ReplyGenerator, side: Side, passages: Sequence[Passage]
) -> list[Likelihood]:
    """The likelihood of each passage.

    Raises:
        CapabilityError: as `likelihoods`.
        ProbeError: a passage has no likelihood.
    """
    known = []
    for found in likelihoods(generation, side, passages):
        if isinstance(found, str):
            raise ProbeError(found)
        known.append(found)
    return known


def _about(passage: Passage) -> list[Any]:
    return [[dict(message) for message in passage.after], passage.text]


def _passage(about: list[Any]) -> Passage:
    messages, text = about
    return Passage(text=text, after=tuple(messages))
