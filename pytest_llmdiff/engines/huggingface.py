"""The transformers engine: one side of the pair, over weights that the sides may share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.comparison import Reply
from pytest_llmdiff.engines import Continuation, Generated
from pytest_llmdiff.engines.adapter import AdapterHealth, adapter_health
from pytest_llmdiff.engines.artifacts import generation_stop_ids
from pytest_llmdiff.engines.decoder import Decoder, cannot_serve, decoded, window_of
from pytest_llmdiff.engines.decoding import decode, groups, in_batches, reply_logits
from pytest_llmdiff.engines.reasoning import split_reasoning
from pytest_llmdiff.engines.rendering import AnyRenderer
from pytest_llmdiff.engines.weights import Weights
from pytest_llmdiff.errors import ProbeError
from pytest_llmdiff.formats.messages import Message
from pytest_llmdiff.planning import Request, Sampling

if TYPE_CHECKING:
    import torch

# On a CPU decoding is bound by arithmetic from about 32 rows on; a GPU takes more, and halves
# the number when memory runs out.
BATCH = {"cpu": 32, "mps": 32, "cuda": 64}


@dataclass
class TransformersEngine:
    """Greedy or sampled replies and teacher-forced logits of one side.

    `adapted` says whether the adapter of `weights`, if there is one, is on. `identity` is the
    content hash of files, settings and versions; it is computed without loading anything.
    """

    weights: Weights
    renderer: AnyRenderer
    adapted: bool
    identity: str
    batch_size: int | None = None
    notes: set[str] = field(default_factory=set)
    _unserved: str | None = field(default=None, repr=False)
    _window: int | None = field(default=None, repr=False)

    def fingerprint(self) -> str:
        return self.identity

    @property
    def tokenizer(self) -> Any:
        return self.renderer.tokenizer

    def render(self, messages: Sequence[Message]) -> list[int]:
        return self.renderer.ids(messages)

    def parameter_bytes(self) -> float:
        return self.weights.bytes

    def close(self) -> None:
        self.weights.close()

    def adapter_health(self) -> AdapterHealth | None:
        """Capability: the state of the adapter; None for a model that is none."""
        return adapter_health(self.weights) if self.weights.adapter else None

    def declared_stop_ids(self) -> tuple[int, ...]:
        """The stop ids as the files declare them, without loading weights."""
        return tuple(sorted({*generation_stop_ids(self.weights.path), *self.renderer.stop_ids()}))

    def stop_ids(self) -> tuple[int, ...]:
        """Stop tokens of the template, the tokenizer and the generation config together."""
        return tuple(sorted({*self.weights.stop_ids, *self.renderer.stop_ids()}))

    # The adapter is switched per batch, inside `run`, never across a `yield`: base and tuned
    # iterators over the same weights may be consumed in turns.

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        model = self.weights.load()
        context = _context_length(model)
        rows = self.embedding_rows()
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                ids = self.render(request.messages)
                if len(ids) >= context:
                    raise ProbeError(
                        f"the prompt has {len(ids)} tokens and the context of the model "
                        f"{context}, which leaves no room for a reply"
                    )
                if max(ids) >= rows:
                    raise ProbeError(
                        f"the prompt holds {self.token_text(max(ids))!r} (token {max(ids)}), and "
                        f"the model's embeddings end at token {rows - 1}: the chat template adds "
                        "a token that the model was not trained with"
                    )
                prompts[index] = ids
            except ProbeError as error:
                yield index, Generated(error=str(error))
        answerable = sorted(prompts, key=lambda i: -len(prompts[i]))
        stop_ids = self.stop_ids()
        by_settings = groups(
            [requests[i] for i in answerable], [context - len(prompts[i]) for i in answerable]
        )
        for sampling, members in by_settings.items():
            indices = [answerable[m] for m in members]
            rows_of = [prompts[i] for i in indices]
            keys = [requests[i].key for i in indices]
            for place, row in self._decoded(rows_of, keys, sampling, stop_ids):
                index = indices[place]
                yield index, self._generated(prompts[index], row, set(stop_ids))

    def _decoded(
        self,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        stop_ids: Sequence[int],
    ) -> Iterator[tuple[int, list[int]]]:
        """Place and new tokens of each prompt, by the decode loop where that serves the model."""
        longest = max(map(len, prompts)) + sampling.max_new_tokens
        if self._loop_serves(longest):
            decoder = partial(
                Decoder, sampling=sampling, stop_ids=stop_ids, pad_id=self._pad_id()
            )  # fmt: skip
            yield from decoded(
                decoder,
                prompts,
                keys,
                self._batch(),
                partial(self.weights.model, adapted=self.adapted),
                self._remember,
            )
            return

        def run(batch: Sequence[int]) -> list[list[int]]:
            with self.weights.model(adapted=self.adapted) as model:
                return decode(
                    model,
                    [prompts[i] for i in batch],
                    sampling=sampling,
                    keys=[keys[i] for i in batch],
                    stop_ids=stop_ids,
                    pad_id=self._pad_id(),
                )

        for batch, rows, size in in_batches(range(len(prompts)), self._batch(), run):
            self._remember(size)
            yield from zip(batch, rows, strict=True)

    def _loop_serves(self, longest: int) -> bool:
        """Whether sequences of so many tokens can go through the decode loop; if not, a note."""
        if self._unserved is None:
            with self.weights.model(adapted=self.adapted) as model:
                self._unserved = cannot_serve(model, pad_id=self._pad_id()) or ""
                self._window = window_of(model)
        reason = self._unserved
        if not reason and self._window is not None and longest > self._window:
            reason = f"sequences of {longest} tokens are longer than its attention window"
        if reason:
            self.notes.add(f"decoded by transformers' generate, not by the faster loop: {reason}")
        return not reason

    def token_logits(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Capability: logits `[len(reply_ids), vocabulary]` of given replies, with their index."""
        self.weights.load()
        width = max(len(item.reply_ids) for item in items) + 1

        def run(batch: Sequence[int]) -> list[torch.Tensor]:
            with self.weights.model(adapted=self.adapted) as model:
                return reply_logits(
                    model,
                    [items[i].prompt_ids for i in batch],
                    [items[i].reply_ids for i in batch],
                    pad_id=self._pad_id(),
                )

        for batch, logits, _ in in_batches(range(len(items)), max(1, rows // width), run):
            yield from zip(batch, logits, strict=True)

    def embedding_rows(self) -> int:
        """How many token ids the model's embeddings have a row for."""
        return int(self.weights.load().get_input_embeddings().weight.shape[0])

    def encode(self, text: str) -> list[int]:
        """Token ids of a reply's text, without special tokens."""
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def token_text(self, token_id: int) -> str:
        return str(self.tokenizer.decode([token_id]))

    def _generated(self, prompt: list[int], row: list[int], stop_ids: set[int]) -> Generated:
        tokenizer = self.tokenizer
        text, reasoning = split_reasoning(
            tokenizer.decode(row, skip_special_tokens=False),
            prompt_tail=tokenizer.decode(prompt[-16:], skip_special_tokens=False),
            special_tokens=tokenizer.all_special_tokens,
        )
        stopped = bool(row) and row[-1] in stop_ids
        if reasoning is None:
            text = tokenizer.decode(row, skip_special_tokens=True).strip()
        reply = Reply(
            text=text,
            reasoning=reasoning,
            token_ids=tuple(row),
            finish_reason="stop" if stopped else "length",
            prompt_tokens=len(prompt),
        )
        return Generated(reply=reply, prompt_ids=tuple(prompt))

    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else (self.tokenizer.eos_token_id or 0))

    def _batch(self) -> int:
        return self.batch_size or BATCH[self.weights.device]

    def _remember(self, size: int) -> None:
        if size < self._batch():
            self.batch_size = size


def _context_length(model: Any) -> int:
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    return int(length) if length else 1 << 30
