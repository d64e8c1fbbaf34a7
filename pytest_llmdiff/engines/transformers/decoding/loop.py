"""A decode loop over the model's forward pass: continuous batching with speculative decoding.

The prefix that all prompts share (template head, system prompt) is run once. A finished row leaves
the batch at once, and a waiting prompt takes its place. The output layer runs only where a token is
needed. A prompt may come with a draft of its reply: one pass verifies how much of it the model
would have generated, and decoding continues from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.batching import PASS_TOKENS
from pytest_llmdiff.engines.transformers.decoding.drafts import Drafts, Ended
from pytest_llmdiff.engines.transformers.decoding.forward import Forward
from pytest_llmdiff.engines.transformers.decoding.kv_cache import GRAIN, STEADY_GRAIN, KVCache
from pytest_llmdiff.engines.transformers.decoding.prefix_cache import PrefixCache
from pytest_llmdiff.engines.transformers.decoding.sampling import RowSampling

if TYPE_CHECKING:
    import torch


# New rows join when this share of the batch is free: one at a time, each would take a forward pass
# for itself.
FREE_SHARE = 0.25
# Tokens of padding in one pass over prompts, of which the longest come first: another pass costs
# about as much.
PADDING = 64
# Rows of logits `[rows, vocabulary]` that are computed at once from the hidden states of drafts:
# enough for an efficient matrix product on a CPU.
ROWS = 64
# Once a row has diverged from its draft, this many of its last tokens are searched in the draft, to
# continue from the match.
LOOKUP = 2


@dataclass(kw_only=True, eq=False)
class _Row:
    index: int
    tokens: list[int]  # of the prompt, then the new ones
    prompt: int  # length of the prompt
    fed: int  # tokens in the cache: all but the last, once it decodes
    draft: Sequence[int] = ()
    on_draft: bool = True  # all new tokens are those of the draft
    states: list[torch.Tensor] = field(default_factory=list)
    ties: int = 0
    margin: float | None = None

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A chosen token, the draft's token there (or None), and how far that was below the best."""

    token: int
    drafted: int | None
    behind: float


class Decoder:
    """Continues prompts (token ids) in up to `slots` rows at a time, in their order.

    `keys` seed each row's sampling, so that it does not depend on the other rows. With `steady`,
    the batch cannot change a reply even by rounding: every prompt runs by itself, and every step
    has at least `steady` rows. Each `advance` is given the model, always in the same state (adapter
    on or off). `plain` is as for `Forward`.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        sampling: Sampling,
        keys: Sequence[str],
        stop_ids: Sequence[int],
        slots: int,
        drafts: Drafts | None = None,
        keep_states: bool = False,
        steady: int = 0,
        plain: bool = True,
    ) -> None:
        self._prompts = prompts
        self._limit = sampling.max_new_tokens
        self._sampling = RowSampling(sampling, keys)
        self._stops = set(stop_ids)
        self._drafts = drafts or Drafts(replies=[()] * len(prompts))
        self._keep_states = keep_states
        self._steady = steady
        self._plain = plain
        self._waiting = deque(range(len(prompts)))
        self._rows: list[_Row] = []
        self._prefix = PrefixCache([] if steady else prompts)
        # A reply's last token is never fed, so the last column is always free. The padding of a row
        # that is almost done goes there, when another row verifies many tokens.
        capacity = max(map(len, prompts)) + self._limit
        self._most = min(slots, len(prompts))  # rows at a time
        grain = STEADY_GRAIN if steady else GRAIN
        self._cache = KVCache(max(self._most, steady), capacity, grain=grain)

    @property
    def done(self) -> bool:
        return not self._waiting and not self._rows

    def advance(self, model: Any) -> list[Ended]:
        """Decode until some rows end."""
        forward = Forward(model, plain=self._plain)
        while not self.done:
            free = self._most - len(self._rows)
            if self._waiting and (not self._rows or free >= max(1, FREE_SHARE * self._most)):
                ended = self._admit(forward, min(free, len(self._waiting)))
            else:
                ended = self._run(forward, 0)
            if ended:
                return ended
        return []

    def _admit(self, forward: Forward, count: int) -> list[Ended]:
        """Prefill waiting prompts together with their drafts, and let them join the batch."""
        count = 1 if self._steady else count
        start = len(self._rows)
        room, logits, lengths = PASS_TOKENS, ROWS, list[int]()
        for _ in range(count):
            index = self._waiting[0]
            draft = len(self._drafts.replies[index])
            lengths.append(len(self._prompts[index]) - self._prefix.size + draft)
            room -= lengths[-1]
            logits -= draft + 1
            padding = len(lengths) * max(lengths) - sum(lengths)
            full = room < 0 or padding > PADDING or (logits < 0 and not self._plain)
            if full and len(self._rows) > start:
                break
            self._waiting.popleft()
            prompt = list(self._prompts[index])
            self._rows.append(
                _Row(
                    index=index,
                    tokens=prompt,
                    prompt=len(prompt),
                    fed=self._prefix.size,
                    draft=self._drafts.replies[index][: self._limit],
                )
            )
        self._prefix.fill(forward, self._cache, start, len(self._rows))
        return self._run(forward, start)

    def _run(self, forward: Forward, start: int) -> list[Ended]:
        """One pass over the rows from `start` on: tokens not in the cache, and draft tokens."""
        rows = self._rows[start:]
        budget = self._drafts.budget // len(rows) - 1
        tries = [self._tries(row, budget) for row in rows]
        feeds = [[*row.tokens[row.fed :], *more] for row, more in zip(rows, tries, strict=True)]
        offsets = [row.fed for row in rows]
        wanted = [
            (number, column)
            for number, (feed, more) in enumerate(zip(feeds, tries, strict=True))
            for column in range(len(feed) - len(more) - 1, len(feed))
        ]
        if self._steady and rows[0].generated:
            idle = range(len(rows), max(len(rows), self._steady))
            wanted += [(number, 0) for number in idle]
            feeds, offsets = feeds + [[0]] * len(idle), offsets + [0] * len(idle)
        # The logits of many draft tokens would take more memory than everything else.
        whole = not any(tries) or not self._plain
        states, logits = forward(self._cache, start, feeds, offsets, wanted, logits=whole)
        choices = self._choices(forward, rows, tries, states, logits if whole else None)
        place, ended = 0, []
        for row, more in zip(rows, tries, strict=True):
            row.fed = len(row.tokens)
            for number in range(len(more) + 1):
                self._append(row, next(choices), states[place + number])
                if row.tokens[-1] in self._stops or row.generated >= self._limit:
                    ended.append(row)
                    break
                if number < len(more) and row.tokens[-1] == more[number]:
                    row.fed += 1
                else:
                    break
            for _ in range(number, len(more)):
                next(choices)
            place += len(more) + 1
        self._remove(ended)
        return [
            Ended(
                index=row.index,
                tokens=row.tokens[row.prompt :],
                states=row.states,
                ties=row.ties,
                margin=row.margin,
            )
            for row in ended
        ]

    def _tries(self, row: _Row, budget: int) -> Sequence[int]:
        """The draft tokens to verify in the next pass over a row."""
        draft, generated = row.draft, row.generated
        if not generated:
            # No token is needed after the draft's last one if the reply must end there.
            over = draft and (draft[-1] in self._stops or len(draft) == self._limit)
            return draft[: len(draft) - 1 if over else None][: self._drafts.ahead]
        most = min(budget, self._limit - generated - 1)
        if most < 1 or not draft:
            return ()
        if row.on_draft:
            return draft[generated : generated + most]
        tail = row.tokens[-LOOKUP:]
        found = [
            place
            for place in range(LOOKUP, len(draft))
            if list(draft[place - LOOKUP : place]) == tail
        ]
        at = min(found, key=lambda place: abs(place - generated), default=len(draft))
        return draft[at : at + most]

    def _choices(
        self,
        forward: Forward,
        rows: Sequence[_Row],
        tries: Sequence[Sequence[int]],
        states: torch.Tensor,
        logits: torch.Tensor | None,
    ) -> Iterator[_Choice]:
        """A choice for every wanted place, in order."""
        import torch

        places = [
            (row, row.generated + number)
            for row, more in zip(rows, tries, strict=True)
            for number in range(len(more) + 1)
        ]
        drafted = [
            row.draft[at] if row.on_draft and at < len(row.draft) else None for row, at in places
        ]
        fresh = not rows[0].generated
        for first in range(0, len(places), ROWS):
            part = slice(first, min(first + ROWS, len(places)))
            scores = (forward.logits(states[part]) if logits is None else logits[part]).float()
            if self._drafts.watch is not None and fresh:
                tried = [n for n, token in enumerate(drafted[part]) if token is not None]
                names = [(places[first + n][0].index, places[first + n][1]) for n in tried]
                self._drafts.watch(names, scores[tried])
            scores = self._sampling(scores, [row.index for row, _ in places[part]])
            top, best = scores.max(-1)  # argmax takes nearly twice as long
            own = torch.tensor([-1 if d is None else d for d in drafted[part]], device=best.device)
            behind = (top[:, None] - scores.gather(-1, own.clamp(min=0)[:, None]))[:, 0]
            stands = (own >= 0) & (behind <= self._drafts.tolerance)
            tokens = torch.where(stands, own, best)
            for token, draft, gap in zip(
                tokens.tolist(), drafted[part], behind.tolist(), strict=True
            ):
                yield _Choice(token=token, drafted=draft, behind=gap)

    def _append(self, row: _Row, choice: _Choice, state: torch.Tensor) -> None:
        row.tokens.append(choice.token)
        if self._keep_states:
            row.states.append(state)
        if choice.drafted is None or not row.on_draft:
            return
        if choice.token != choice.drafted:
            row.on_draft, row.margin = False, choice.behind
        elif choice.behind > 0:
            row.ties += 1

    def _remove(self, ended: Sequence[_Row]) -> None:
        """Move the last rows to the places of those that ended."""
        gone = set(map(id, ended))
        place = 0
        while place < len(self._rows):
            if id(self._rows[place]) not in gone:
                place += 1
                continue
            last = self._rows.pop()
            if place < len(self._rows):
                self._rows[place] = last
                self._cache.move(len(self._rows), place)
