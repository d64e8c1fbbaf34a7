"""Speculative decoding: the base's replies are drafts of the tuned model's replies.

One pass of the tuned model over the base's reply verifies how much of it the tuned model would have
generated itself. Together with the base's hidden states, kept from its own decoding, the same pass
gives the divergence at every token.
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
from pytest_llmdiff.engines.pair.divergence import TextOf, TokenStatistics
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.pair.vocabularies import (
    rows_of,
    text_of,
    unlike_tokenizers,
    used_rows,
)
from pytest_llmdiff.engines.transformers.decoding.drafts import DraftsByKey

if TYPE_CHECKING:
    import torch

# The cost of a draft token that is verified together with the prompt, as a share of a decoded one.
# Measured on a CPU at full batches (docs/performance.md). A GPU is limited by its memory when it
# decodes, so that verifying costs it little.
VERIFIED_COST = {"cpu": 0.65, "mps": 0.3, "cuda": 0.15}
# Draft tokens to verify before it is known how far the two models agree.
FIRST_AHEAD = 2
# The first token that differs is a near-tie if it is likelier than the draft's by no more than this
# many times the noise of rounding.
NEAR = 2.0


class SpeculativeDecoding:
    """Answers requests by the tuned model, with the base's replies as drafts."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._base: Any = pair.base
        self._tuned: Any = pair.tuned
        self._agreed = self._parted = 0

    @cached_property
    def possible(self) -> bool:
        """Whether both engines support it, with the same tokenizer."""
        sides = (self._base, self._tuned)
        if any(capability(side, "generate_drafted") is None for side in sides):
            return False
        return unlike_tokenizers(self._base, self._tuned) is None

    @cached_property
    def _vocabulary(self) -> tuple[int, TextOf]:
        """The number of the base's rows before padding, and the texts of tokens."""
        return used_rows(self._base), text_of(self._base, self._tuned)

    @property
    def tolerance(self) -> float:
        """The difference of two logits (nats) that rounding alone can make."""
        return float(self._base.loop_check.tolerance)

    def expect_divergences(self) -> None:
        """Have the base keep its hidden states from now on, which the divergence needs.

        Where rounding is coarse, a pass of another shape would look like a divergence. There the
        base's replies run through the base again, in the same shape as through the tuned model.
        """
        if self._together and not self._base.steady:
            self._base.keep_states = True

    @cached_property
    def _together(self) -> bool:
        """Whether the pass that verifies the drafts can give the statistics too."""
        return self.possible and self._pair.fits and self._base.loop_check.plain

    def tuned(
        self, requests: Sequence[Request], base: Mapping[str, Generated], *, divergences: bool
    ) -> Iterator[tuple[int, Generated, TokenDivergences | None]]:
        """Index and outcome of each request; `base` has the base's outcomes by the request's key.

        With `divergences`, statistics come with them, where the same pass can give them.
        """
        # A sampled reply is not a useful draft of another sample.
        greedy = [r.key for r in requests if not r.sampling.temperature and r.key in base]
        rows = rows_of(self._tuned)
        replies = {
            key: found.token_ids
            for key in greedy
            if (found := base[key].reply)
            # The tuned model cannot read a token that it has not.
            and max(found.token_ids, default=0) < rows
        }
        statistics = None
        if divergences and self._together:
            states = self._states(replies, base)
            statistics = TokenStatistics(
                states, replies, self._base.state_logits, *self._vocabulary
            )  # fmt: skip
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
        """The base's last hidden states at each token of its replies."""
        items = {
            key: Continuation(prompt_ids=base[key].prompt_ids, reply_ids=reply)
            for key, reply in replies.items()
            if reply
        }
        found: Mapping[str, torch.Tensor] = self._base.states_of(items)
        return found

    def _ahead(self) -> int:
        """How many draft tokens to verify: as long as acceptance is likelier than their cost."""
        if not self._agreed + self._parted:
            return FIRST_AHEAD
        agreement = self._agreed / (self._agreed + self._parted)
        if agreement in (0.0, 1.0):
            return int(agreement) << 16
        return int(math.log(VERIFIED_COST[self._pair.resolved["device"]]) / math.log(agreement))

    def _learn(self, base: Sequence[int], tuned: Sequence[int]) -> None:
        alike = common_length(base, tuned)
        self._agreed += alike
        self._parted += alike < min(len(base), len(tuned))
