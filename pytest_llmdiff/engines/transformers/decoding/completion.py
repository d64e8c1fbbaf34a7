"""Continues prompts: by the decode loop where it can run the model, else by `generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Sampling
from pytest_llmdiff.engines.transformers.decoding.batch_size import BatchSize, decoded, in_batches
from pytest_llmdiff.engines.transformers.decoding.drafts import Drafts, DraftsByKey, Ended
from pytest_llmdiff.engines.transformers.decoding.loop import Decoder
from pytest_llmdiff.engines.transformers.decoding.loop_check import LoopCheck
from pytest_llmdiff.engines.transformers.decoding.padded import decode

if TYPE_CHECKING:
    import torch

# Rows of a decoding step where the batch must not change a reply by rounding: kernels depend on the
# shape. On a CPU only the kernel for a single row differs (docs/performance.md), so that 2 is a
# minimum. Elsewhere each step has exactly this many rows, or fewer if memory has no room.
STEADY_ROWS = {"cpu": 2, "mps": 32, "cuda": 64}
# Tokens of a pass that verifies drafts while few rows decode: they cost little more than one.
DRAFT_TOKENS = {"cpu": 16, "mps": 64, "cuda": 256}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Continues prompts with a model, which is `opened` for each batch.

    `device` is its type; `loop_check`, `window` and `steady` are the engine's; `note` takes text
    for the summary.
    """

    opened: Callable[[], AbstractContextManager[Any]]
    device: str
    loop_check: LoopCheck
    window: int | None
    steady: bool
    stop_ids: Sequence[int]
    pad_id: int
    batch: BatchSize
    note: Callable[[str], object]

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        drafts: DraftsByKey | None,
        *,
        keep_states: bool,
    ) -> Iterator[tuple[int, Ended]]:
        """Index and outcome of each prompt, in any order; `keys` are those of the requests."""
        reason = self._unserved(max(map(len, prompts)) + sampling.max_new_tokens)
        if reason is None:
            yield from self._by_loop(prompts, keys, sampling, drafts, keep_states=keep_states)
            return
        self.note(f"decoded by transformers' generate, not by the faster loop: {reason}")
        yield from self._by_generate(prompts, keys, sampling)

    def _unserved(self, longest: int) -> str | None:
        """Why sequences of up to `longest` tokens cannot go through the decode loop, or None."""
        if self.loop_check.unserved is None and self.window is not None and longest > self.window:
            return f"sequences of {longest} tokens are longer than its attention window"
        return self.loop_check.unserved

    def _by_loop(
        self,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        drafts: DraftsByKey | None,
        *,
        keep_states: bool,
    ) -> Iterator[tuple[int, Ended]]:
        def make(places: Sequence[int], rows: int) -> Decoder:
            own = [keys[i] for i in places]
            steady = self._steady_rows(rows)
            return Decoder(
                [prompts[i] for i in places],
                sampling=sampling,
                keys=own,
                stop_ids=self.stop_ids,
                slots=min(rows, steady) if steady and self.device != "cpu" else rows,
                drafts=None if drafts is None else self._drafts(drafts, own),
                keep_states=keep_states,
                steady=steady,
                plain=self.loop_check.plain,
            )

        return decoded(make, len(prompts), self.batch, self.opened)

    def _steady_rows(self, rows: int) -> int:
        """The smallest number of rows of a step; `rows` is how many memory has room for."""
        if not self.steady:
            return 0
        most = STEADY_ROWS[self.device]
        if self.device == "cpu" or rows >= most or not self.batch.short:
            return most
        # Idle rows take as much memory as the others.
        self.note(
            f"memory has no room for steps of {most} rows: with fewer, rounding may decide a "
            "near-tie differently than in other runs"
        )
        return rows

    def _drafts(self, drafts: DraftsByKey, keys: Sequence[str]) -> Drafts:
        def named(places: Sequence[tuple[int, int]], logits: torch.Tensor) -> None:
            if drafts.watch is not None:
                drafts.watch([(keys[index], token) for index, token in places], logits)

        return Drafts(
            replies=[drafts.replies.get(key, ()) for key in keys],
            ahead=None if self.steady else drafts.ahead,
            budget=0 if self.steady else DRAFT_TOKENS[self.device],
            tolerance=drafts.tolerance,
            watch=None if drafts.watch is None else named,
        )

    def _by_generate(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[str], sampling: Sampling
    ) -> Iterator[tuple[int, Ended]]:
        def run(batch: Sequence[int]) -> list[list[int]]:
            with self.opened() as model:
                return decode(
                    model,
                    [prompts[i] for i in batch],
                    sampling=sampling,
                    keys=[keys[i] for i in batch],
                    stop_ids=self.stop_ids,
                    pad_id=self.pad_id,
                )

        for batch, rows in in_batches(range(len(prompts)), self.batch, run):
            for place, tokens in zip(batch, rows, strict=True):
                yield place, Ended(index=place, tokens=tokens)
