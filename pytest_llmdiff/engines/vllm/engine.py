"""The vLLM engine: one side of the pair. Both sides may share the runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.engines import Continuation, Generated
from pytest_llmdiff.engines.batching import grouped
from pytest_llmdiff.engines.files.engine import FileEngine
from pytest_llmdiff.engines.vllm.runtime import Asked, VLLMRuntime
from pytest_llmdiff.errors import CapabilityError, ProbeError

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class VLLMEngine(FileEngine[VLLMRuntime]):
    """Greedy or sampled replies and teacher-forced log-probabilities of one side.

    vLLM batches requests as they arrive. In bfloat16 and float16 a reply may depend on the other
    requests, and a note says so.
    """

    def stop_ids(self) -> tuple[int, ...]:
        """Stop tokens of the template, the tokenizer and the generation config together."""
        return self.declared_stop_ids()

    def embedding_rows(self) -> int:
        """Number of rows of the model's embeddings."""
        return self.weights.vocabulary

    def context_length(self) -> int:
        """The context's length in tokens, prompt and reply together."""
        return self.weights.context

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Generated]]:
        context, rows = self.context_length(), self.embedding_rows()
        self._note_batch_dependence()
        places: list[int] = []
        asked: list[Asked] = []
        for index, request in enumerate(requests):
            try:
                prompt = self.prompt_ids(request.messages, context=context, rows=rows)
            except ProbeError as error:
                yield index, Generated(error=str(error))
                continue
            places.append(index)
            asked.append((prompt, self._parameters(request, context - len(prompt)), self.adapted))
        for place, output in self.weights.run(asked):
            ids, found = asked[place][0], output.outputs[0]
            reply = self.reply(ids, found.token_ids, stopped=found.finish_reason == "stop")
            yield places[place], Generated(reply=reply, prompt_ids=tuple(ids))

    def _parameters(self, request: Request, room: int) -> Any:
        sampling = request.sampling
        return self.weights.parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            # From the request's content, so that sampling depends neither on the batch nor on
            # earlier requests.
            seed=(int(request.key[:12], 16) + sampling.seed) % (1 << 62),
            max_tokens=min(sampling.max_new_tokens, room),
            stop_token_ids=list(self.stop_ids()),
        )

    def token_logits(
        self,
        items: Sequence[Continuation],
        rows: int,  # noqa: ARG002
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Capability: index and log-probabilities `[len(reply_ids), vocabulary]` of given replies,
        which are logits up to a constant. Sequences run one at a time, because tokens of the prompt
        take as much memory as those of the reply."""
        self._require_prompt_logprobs()
        for index, item in enumerate(items):
            ids = self._whole(item)
            yield (
                index,
                self.weights.prompt_logprobs(ids, adapted=self.adapted, first=len(item.prompt_ids)),
            )

    def token_logprobs(
        self, items: Sequence[Continuation], rows: int
    ) -> Iterator[tuple[int, list[float]]]:
        """Capability: index and log-probabilities (nats) of the tokens of given replies; about
        `rows` tokens run at once."""
        self._require_prompt_logprobs()
        parameters = self.weights.parameters(max_tokens=1, prompt_logprobs=0)
        lengths = [len(item.prompt_ids) + len(item.reply_ids) for item in items]
        for group in grouped(lengths, rows):
            asked: list[Asked] = [(self._whole(items[i]), parameters, self.adapted) for i in group]
            for place, output in self.weights.run(asked):
                item = items[group[place]]
                scored = output.prompt_logprobs[len(item.prompt_ids) :]
                yield (
                    group[place],
                    [
                        float(row[token].logprob)
                        for row, token in zip(scored, item.reply_ids, strict=True)
                    ],
                )

    def _whole(self, item: Continuation) -> list[int]:
        """Token ids of prompt and reply.

        Raises:
            ProbeError: they do not fit into the context.
        """
        ids = [*item.prompt_ids, *item.reply_ids]
        if len(ids) > self.weights.context:
            raise ProbeError(
                f"prompt and reply have {len(ids)} tokens, and vLLM scores up to "
                f'{self.weights.context} of this model; "max_model_len" in --llmdiff-vllm sets it'
            )
        return ids

    def _require_prompt_logprobs(self) -> None:
        if self.weights.adapts_head:
            raise CapabilityError(
                f"the adapter {self.weights.adapter} changes the output layer, which vLLM leaves "
                "out of the log-probabilities of given texts; merge it into its base, or leave out "
                "vllm: in the SPECs"
            )

    def _note_batch_dependence(self) -> None:
        if self.weights.dtype != "float32" and os.environ.get("VLLM_BATCH_INVARIANT") != "1":
            self.notes.add(
                f"vLLM in {self.weights.dtype}: a reply may depend on the other requests in its "
                "batch; VLLM_BATCH_INVARIANT=1 prevents it on GPUs that support it"
            )
