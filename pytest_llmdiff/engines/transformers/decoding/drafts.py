"""What the decode loop takes and returns: drafts of replies, and finished rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Called with the logits at the verified draft tokens; of each row, the prompt's index and the index
# in its draft.
Watch = Callable[[Sequence[tuple[int, int]], "torch.Tensor"], None]


@dataclass(frozen=True, kw_only=True)
class Drafts:
    """Drafts of the replies, one per prompt.

    `ahead` draft tokens are verified together with the prompt (None: all). A pass over rows that
    decode already verifies more, up to `budget` tokens in all. A draft token is accepted where its
    logit is within `tolerance` of the best. `watch` is called with those verified with the prompt.
    """

    replies: Sequence[Sequence[int]]
    ahead: int | None = None
    budget: int = 0
    tolerance: float = 0.0
    watch: Watch | None = None


@dataclass(frozen=True, kw_only=True)
class DraftsByKey:
    """`Drafts` by the key of the request: replies of the other side.

    `watch` gets the keys of the requests in place of the prompts' indices.
    """

    replies: Mapping[str, tuple[int, ...]]
    ahead: int | None
    tolerance: float
    watch: Callable[[Sequence[tuple[str, int]], torch.Tensor], None] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ended:
    """One finished row.

    `tokens` are the new ones, including the stop token; `states` are the last hidden states
    `[hidden]` that predicted them. With a draft, `ties` counts tokens of it that were accepted
    although another was likelier, and `margin` is by how much (difference of logits, in nats) the
    first token that differs was preferred to the draft's.
    """

    index: int
    tokens: list[int]
    states: Sequence[torch.Tensor] = ()
    ties: int = 0
    margin: float | None = None
