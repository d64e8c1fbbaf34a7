"""The transformers engine: one side of the pair. Both sides may share the weights."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request, Sampling
from pytest_llmdiff.engines import Continuation, Generated
from pytest_llmdiff.engines.attention import LayerAttention
from pytest_llmdiff.engines.context import Remember
from pytest_llmdiff.engines.files.engine import FileEngine
from pytest_llmdiff.engines.transformers.adapters.health import AdapterHealth, adapter_health
from pytest_llmdiff.engines.transformers.attention import AttentionTap
from pytest_llmdiff.engines.transformers.decoding.batch_size import BatchSize
from pytest_llmdiff.engines.transformers.decoding.completion import Completion
from pytest_llmdiff.engines.transformers.decoding.drafts import DraftsByKey, Ended
from pytest_llmdiff.engines.transformers.decoding.loop_check import LoopCheck, check_loop, window_of
from pytest_llmdiff.engines.transformers.decoding.sampling import groups
from pytest_llmdiff.engines.transformers.decoding.steps import Steps
from pytest_llmdiff.engines.transformers.hidden_states import HiddenStateCache
from pytest_llmdiff.engines.transformers.teacher_forcing import TeacherForcing
from pytest_llmdiff.engines.transformers.weights import KeptBase, Weights
from pytest_llmdiff.errors import ProbeError

if TYPE_CHECKING:
    import torch

    from pytest_llmdiff.engines.transformers.gradients import Places

# Rows that decode together, if memory has room. On a CPU, more are hardly faster, and a window of
# requests has no more.
BATCH = {"cpu": 64, "mps": 32, "cuda": 64}


def _not_stored(_: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    return compute()


@dataclass(kw_only=True)
class TransformersEngine(FileEngine[Weights]):
    """Greedy or sampled replies and teacher-forced logits of one side.

    `remembered` returns a fact about the model from the store, or computes and stores it. With
    `keep_states`, the last hidden states `[tokens, hidden]` of the latest replies are in `states`,
    by the request's key; `state_cache` has those of earlier runs.
    """

    remembered: Remember = field(default=_not_stored, repr=False)
    keep_states: bool = field(default=False, repr=False)
    state_cache: HiddenStateCache | None = field(default=None, repr=False)
    states: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    def close(self) -> None:
        super().close()
        # What else is in the device's memory.
        self.states.clear()
        self.__dict__.pop("_tap", None)

    def keep_base(self) -> KeptBase | None:
        """Capability: the base without its adapter, for the next pair."""
        return self.weights.keep_base()

    def adapter_health(self) -> AdapterHealth | None:
        """Capability: the state of the adapter; None where there is none."""
        return adapter_health(self.weights) if self.weights.adapter else None

    def stop_ids(self) -> tuple[int, ...]:
        """Stop tokens of the template, the tokenizer and the generation config together."""
        return tuple(sorted({*self.weights.stop_ids, *self.renderer.stop_ids()}))

    @cached_property
    def loop_check(self) -> LoopCheck:
        """Whether the decode loop can run this model; tried once per weights, device and dtype."""

        def compute() -> dict[str, Any]:
            with self.weights.model(adapted=self.adapted) as model:
                return asdict(check_loop(model))

        return LoopCheck(**self.remembered("service", compute))

    @property
    def steady(self) -> bool:
        """Whether rounding is so coarse that the batch must be kept from changing replies."""
        return self.weights.dtype != "float32"

    # The adapter is switched per batch, inside the loops, never across a `yield`: base and tuned
    # iterators over the same weights may be consumed in turns.

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        yield from self.generate_drafted(requests, None)

    def generate_drafted(
        self, requests: Sequence[Request], drafts: DraftsByKey | None
    ) -> Iterator[tuple[int, Generated]]:
        """Capability: the replies of `generate`, with the other side's as drafts."""
        context, embeddings = self.context_length(), self.embedding_rows()
        self.states.clear()
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                prompts[index] = self.prompt_ids(request.messages, context=context, rows=embeddings)
            except ProbeError as error:
                yield index, Generated(error=str(error))
        answerable = sorted(prompts, key=lambda i: -len(prompts[i]))
        stop_ids = self.stop_ids()
        by_settings = groups(
            [requests[i] for i in answerable], [context - len(prompts[i]) for i in answerable]
        )
        for sampling, members in by_settings.items():
            indices = [answerable[m] for m in members]
            rows = [prompts[i] for i in indices]
            keys = [requests[i].key for i in indices]
            drafted = None if sampling.temperature else drafts
            ended = self._completion(rows, keys, sampling, drafted, keep_states=self.keep_states)
            for place, row in ended:
                index = indices[place]
                if self.keep_states and row.states:
                    self.states[keys[place]] = _stacked(row.states)
                yield index, self._generated(prompts[index], row, stop_ids)

    def continuations(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[str], sampling: Sampling
    ) -> list[str | None]:
        """Capability: texts that follow given token ids, in order, up to a stop token; None for one
        that does not end by itself, or has no room to. `keys` (hexadecimal) seed the rows."""
        room = self.context_length() - sampling.max_new_tokens
        stop_ids = self.stop_ids()
        found: list[str | None] = [None] * len(prompts)
        fitting = [i for i, ids in enumerate(prompts) if 0 < len(ids) <= room]
        if not fitting:
            return found
        order = sorted(fitting, key=lambda i: -len(prompts[i]))
        ended = self._completion(
            [prompts[i] for i in order], [keys[i] for i in order], sampling, None, keep_states=False
        )
        for place, row in ended:
            if row.tokens and row.tokens[-1] in stop_ids:
                text = self.tokenizer.decode(row.tokens[:-1], skip_special_tokens=True)
                found[order[place]] = str(text)
        return found

    def steps(self, rows: int, capacity: int) -> Steps:
        """Capability: passes over rows of up to `capacity` tokens that advance together."""
        return Steps(partial(self.weights.model, adapted=self.adapted), rows, capacity)

    def activation_words(
        self, texts: Sequence[Sequence[int]], *, controls: int, seed: int
    ) -> dict[str, Any]:
        """Capability: the words in the adapter's activation difference; plain JSON."""
        from pytest_llmdiff.engines.transformers.activation_lens import activation_words

        return activation_words(self.weights, texts, controls=controls, seed=seed)

    @cached_property
    def _completion(self) -> Completion:
        return Completion(
            opened=partial(self.weights.model, adapted=self.adapted),
            device=self.weights.device,
            loop_check=self.loop_check,
            window=self.window,
            steady=self.steady,
            stop_ids=self.stop_ids(),
            pad_id=self._pad_id(),
            batch=BatchSize(self.batch_size or BATCH[self.weights.device]),
            note=self.notes.add,
        )

    @cached_property
    def window(self) -> int | None:
        return window_of(self._model())

    @cached_property
    def _teacher_forcing(self) -> TeacherForcing:
        return TeacherForcing(
            partial(self.weights.model, adapted=self.adapted),
            loop_check=self.loop_check,
            window=self.window,
            steady=self.steady,
            pad_id=self._pad_id(),
        )

    def token_logits(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Capability: logits `[len(reply_ids), vocabulary]` of given replies, with their index.

        Raises:
            ProbeError: a text holds a token that the model has not.
        """
        embeddings = self.embedding_rows()
        for item in items:
            self.require_readable(item, embeddings)
        return self._teacher_forcing.logits(items, rows)

    def states_of(self, replies: Mapping[str, Continuation]) -> dict[str, torch.Tensor]:
        """The last hidden states `[tokens, hidden]` of given replies, by the request's key: kept
        from the latest replies or earlier runs, else computed, and stored for later runs."""
        fresh = {key: self.states[key] for key in replies if key in self.states}
        rest = {key: item for key, item in replies.items() if key not in fresh}
        found = {} if self.state_cache is None else self.state_cache.get(rest)
        missing = [key for key in rest if key not in found]
        if missing:
            passed = self._teacher_forcing.states([replies[key] for key in missing])
            fresh |= {missing[index]: states for index, states in passed}
        if self.state_cache is not None and fresh:
            self.state_cache.put((replies[key], states) for key, states in fresh.items())
        return found | fresh

    def state_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits `[n, vocabulary]` of states `[n, hidden]`, where `loop_check.plain`."""
        return self._teacher_forcing.state_logits(states)

    @cached_property
    def _tap(self) -> AttentionTap:
        return AttentionTap()

    def attentions(
        self, item: Continuation, layers: Container[int], *, again: bool = False
    ) -> list[LayerAttention]:
        """Capability: the model's attention over a given reply, in some of its layers."""
        self.require_readable(item, self.embedding_rows())
        with self.weights.model(adapted=self.adapted) as model:
            return self._tap.taken(model, item, layers, again=again)

    def attention_size(self) -> tuple[int, int]:
        """Number of layers, and of heads in each."""
        config = self._model().config.get_text_config()
        return int(config.num_hidden_layers), int(config.num_attention_heads)

    def differentiable(self) -> AbstractContextManager[Any]:
        """Capability: the model with autograd on; its parameters require no gradients."""
        return self.weights.model(adapted=self.adapted, gradients=True)

    def reply_gradients(self, items: Sequence[Continuation], places: Places) -> list[torch.Tensor]:
        """Capability: sketches of the gradients of given replies with respect to the adapter."""
        from pytest_llmdiff.engines.transformers.gradients import (
            reply_gradients,  # nothing on a rerun
        )

        return reply_gradients(self.weights, items, places, pad_id=self._pad_id())

    def carried(self, items: Sequence[Continuation], rows: int) -> dict[str, Any]:
        """Capability: which parts of the adapter carry the change of given replies; plain JSON."""
        from pytest_llmdiff.engines.transformers.carriers import carried  # nothing on a rerun

        return carried(self.weights, items, rows=rows, pad_id=self._pad_id())

    def embedding_rows(self) -> int:
        """Number of rows of the model's embeddings."""
        return int(self._model().get_input_embeddings().weight.shape[0])

    def _model(self) -> Any:
        """The model of this side; what it computes also depends on whether the adapter is on."""
        return self.weights.side(adapted=self.adapted).load()

    def context_length(self) -> int:
        """The context's length in tokens, prompt and reply together."""
        config = self._model().config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 1 << 30)

    def _generated(self, prompt: list[int], ended: Ended, stop_ids: Sequence[int]) -> Generated:
        row = ended.tokens
        return Generated(
            reply=self.reply(prompt, row, stopped=bool(row) and row[-1] in stop_ids),
            prompt_ids=tuple(prompt),
            ties=ended.ties,
            margin=ended.margin,
        )

    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else (self.tokenizer.eos_token_id or 0))


def _stacked(states: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack(list(states))
