"""Both sides of a pair together: the base's replies are drafts for the tuned model's.

One pass of the tuned model over a base's reply tells how much of it the tuned model would have
said itself, and, with what the base's own decoding left behind, the divergence at every token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.text.differences import common_length
from pytest_llmdiff.data.tokens import TokenDivergences
from pytest_llmdiff.engines import Continuation, Generated, capability
from pytest_llmdiff.engines.pair.divergence import TokenStatistics, unlike_tokenizers
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.transformers.decoding.completion import DraftsByKey

if TYPE_CHECKING:
    import torch

# What a token costs that is tried together with the prompt, as a share of one that is decoded:
# measured on a CPU at full batches (docs/performance.md); a GPU decodes at the speed of its memory
# and tries for next to nothing.
TRIED_COST = {"cpu": 0.65, "mps": 0.3, "cuda": 0.15}
# Tokens tried before it is known how far the two models agree.
FIRST_AHEAD = 2
# A reply rests on a near-tie where its first other token is ahead by no more than this many times
# the noise of rounding.
NEAR = 2.0


class SpeculativeDecoding:
    """Answers requests by the tuned model along the base's replies."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._base: Any = pair.base
        self._tuned: Any = pair.tuned
        self._agreed = self._parted = 0

    @cached_property
    def possible(self) -> bool:
        """Whether both sides are such engines, and of one tokenizer."""
        sides = (self._base, self._tuned)
        if any(capability(side, "generate_drafted") is None for side in sides):
            return False
        return unlike_tokenizers(self._base, self._tuned) is None

    @property
    def tolerance(self) -> float:
        """The difference of two logits (nats) that rounding alone makes."""
        return float(self._base.loop_check.tolerance)

    def expect_divergences(self) -> None:
        """Let the base keep, from now on, what the divergence needs of its replies.

        Where rounding is coarse, passes of other shapes would look like a divergence: there the
        base's replies go through the model again, in the shape that the tuned model's go.
        """
        if self._together and not self._base.steady:
            self._base.keep_states = True

    @cached_property
    def _together(self) -> bool:
        """Whether the statistics can be had in the pass over the drafts."""
        return self.possible and self._pair.fits and self._base.loop_check.plain

    def tuned(
        self, requests: Sequence[Request], base: Mapping[str, Generated], *, divergences: bool
    ) -> Iterator[tuple[int, Generated, TokenDivergences | None]]:
        """Index and outcome of each request, `base` being those of the base by the request's key.

        With `divergences` the statistics come along, as far as they can be had in the same pass.
        """
        # A draw is no draft of another draw.
        greedy = [r.key for r in requests if not r.sampling.temperature and r.key in base]
        replies = {key: found.token_ids for key in greedy if (found := base[key].reply)}
        statistics = None
        if divergences and self._together:
            states = self._states(replies, base)
            statistics = TokenStatistics(
                states, replies, self._base.state_logits, self._tuned.token_text
            )
        drafts = DraftsByKey(
            replies=replies,
            ahead=None if statistics is not None else self._ahead(),
            tolerance=self.tolerance,
            watch=statistics,
        )
        for index, outcome in self._tuned.generate_drafted(requests, drafts):
            key = requests[index].key
            if outcome.reply is not None and key in replies:
                self._learn(replies[key], outcome.reply.token_ids)
                near = outcome.margin is not None and outcome.margin <= NEAR * self.tolerance
                outcome = replace(outcome, near_tie=near or outcome.ties > 0)
            yield index, outcome, None if statistics is None else statistics.of(key)

    def _states(
        self, replies: Mapping[str, tuple[int, ...]], base: Mapping[str, Generated]
    ) -> Mapping[str, torch.Tensor]:
        """What went into the base's output layer at each token."""
        items = {
            key: Continuation(prompt_ids=base[key].prompt_ids, reply_ids=reply)
            for key, reply in replies.items()
            if reply
        }
        found: Mapping[str, torch.Tensor] = self._base.states_of(items)
        return found

    def _ahead(self) -> int:
        """How many tokens to try: as many as are more likely to be right than they cost."""
        if not self._agreed + self._parted:
            return FIRST_AHEAD
        agreement = self._agreed / (self._agreed + self._parted)
        if agreement in (0.0, 1.0):
            return int(agreement) << 16
        return int(math.log(TRIED_COST[self._pair.resolved["device"]]) / math.log(agreement))

    def _learn(self, base: Sequence[int], tuned: Sequence[int]) -> None:
        alike = common_length(base, tuned)
        self._agreed += alike
        self._parted += alike < min(len(base), len(tuned))
