"""One vLLM engine, in this process or a child of it, with at most one LoRA adapter."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.engines.devices import BYTES, limit_threads
from pytest_llmdiff.engines.files.artifacts import parameter_count
from pytest_llmdiff.engines.vllm.arguments import (
    CPU_CACHE,
    HEAD,
    OPTION,
    engine_arguments,
    target_modules,
)
from pytest_llmdiff.engines.vllm.process import keep_set_num_threads, set_environment, untraced
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    import torch

# vLLM's default share of a GPU's memory.
GPU_SHARE = 0.92
ADAPTER = 1  # the id of the only adapter
NARROW = 8  # columns of log-probabilities up to which vLLM's lists are used

Ids = Sequence[int]
# Token ids, sampling parameters, and whether the adapter is switched on.
Asked = tuple[Ids, Any, bool]


class VLLMRuntime:
    """A model in vLLM. Nothing is imported or loaded before it is used.

    If the tuned model is an adapter, both sides share one runtime; each request says whether it
    uses the adapter.
    """

    _in_this_process: ClassVar[WeakSet[VLLMRuntime]] = WeakSet()

    def __init__(
        self, path: Path, *, adapter: Path | None, settings: Settings, device: str, dtype: str
    ) -> None:
        self.path = path
        self.adapter = adapter
        self.device = device
        self.dtype = dtype
        self._settings = settings
        self._engine: Any = None
        self._ended: dict[str, Any] = {}  # finished outputs that were not yielded yet
        self._passing: list[Any] = []  # log-probabilities of prompts, as tensors

    @property
    def trust_remote_code(self) -> bool:
        return self._settings.trust_remote_code

    @property
    def bytes(self) -> float:
        """Memory in bytes: on GPUs a share of each, whatever the size of the model; on a CPU the
        weights and the cache."""
        given = self._settings.vllm
        if self.device == "cuda":
            from pytest_llmdiff.engines.devices import cuda_memory

            return float(given.get("gpu_memory_utilization", GPU_SHARE)) * sum(cuda_memory())
        space = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 0) * (1 << 30)
        cache = float(given.get("kv_cache_memory_bytes", space or CPU_CACHE))
        return parameter_count(self.path) * BYTES[self.dtype] + cache

    @property
    def context(self) -> int:
        """The most tokens that prompt and reply may have together: one less than the model's
        context, since vLLM always generates one token after what it scores."""
        return int(self.load().model_config.max_model_len) - 1

    @property
    def vocabulary(self) -> int:
        """Number of token ids that have embeddings and logits."""
        return int(self.load().model_config.get_vocab_size())

    @cached_property
    def adapts_head(self) -> bool:
        """Whether the adapter changes the output layer, which vLLM ignores in log-probabilities of
        prompts."""
        return self.adapter is not None and HEAD in target_modules(self.adapter)

    def run(self, asked: Sequence[Asked]) -> Iterator[tuple[int, Any]]:
        """Index and output of each request, as they finish.

        Raises:
            ModelError: vLLM failed. The engine is closed, and loads again on the next use.
        """
        engine = self.load()
        run = uuid.uuid4().hex[:8]  # so that outputs of an aborted run are never taken for these
        names = {f"{run}-{index}": index for index in range(len(asked))}
        with self._failing("cannot run"):
            try:
                for name, (ids, parameters, adapted) in zip(names, asked, strict=True):
                    prompt = {"type": "token", "prompt_token_ids": list(ids)}
                    lora = self._lora if adapted else None
                    engine.add_request(name, prompt, parameters, lora_request=lora)
                while names:
                    ended = [name for name in names if name in self._ended]
                    if not ended:
                        self._step(engine)
                    for name in ended:
                        yield names.pop(name), self._ended.pop(name)
            finally:
                for name in names:
                    self._ended.pop(name, None)
                if names and self._engine is engine:
                    engine.abort_request(list(names))

    def _step(self, engine: Any) -> None:
        """One step of the engine. Outputs may belong to another run that is read in turns."""
        if not engine.has_unfinished_requests():
            raise ModelError(f"{self.path}: vLLM has lost requests")
        with untraced():
            self._ended |= {each.request_id: each for each in engine.step() if each.finished}

    def prompt_logprobs(self, ids: Ids, *, adapted: bool, first: int) -> torch.Tensor:
        """Log-probabilities `[len(ids) - first, vocabulary]`, float32, that predict the tokens from
        `first` (at least 1) on."""
        import torch

        parameters = self.parameters(max_tokens=1, prompt_logprobs=-1, flat_logprobs=True)
        self._passing.clear()
        ((_, output),) = self.run([(ids, parameters, adapted)])
        wanted = slice(first - 1, None)  # the first token of all has no row
        if self._passing:
            (found,) = self._passing
            tokens = found.logprob_token_ids[wanted].long()
            values = found.logprobs[wanted].float()
        else:
            tokens, values = _unflattened(output.prompt_logprobs, first)
        self._passing.clear()
        rows = torch.full((len(ids) - first, self.vocabulary), -torch.inf)
        return rows.scatter_(-1, tokens, values)

    def parameters(self, **given: Any) -> Any:
        """Sampling parameters, greedy by default. All parameters that vLLM or the model's files
        might set are set here.

        Raises:
            ModelError: vLLM refuses a value.
        """
        import vllm
        from vllm.sampling_params import RequestOutputKind

        values: dict[str, Any] = {
            "n": 1, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0,
            "presence_penalty": 0.0, "frequency_penalty": 0.0, "repetition_penalty": 1.0,
            "ignore_eos": True, "detokenize": False,
            "output_kind": RequestOutputKind.FINAL_ONLY,
        }  # fmt: skip
        try:
            return vllm.SamplingParams(**(values | given))
        except ValueError as error:
            raise ModelError(f"vLLM refuses the sampling: {error}") from error

    def load(self) -> Any:
        """Start the engine once. Raises ModelError with vLLM's message."""
        if self._engine is None:
            set_environment(cpu=self.device != "cuda")
            limit_threads()
            with (
                self._failing("cannot be started"), keep_set_num_threads(), untraced(), quiet()
            ):  # fmt: skip
                self._start()
        return self._engine

    def _start(self) -> None:
        from vllm import EngineArgs, LLMEngine

        values = engine_arguments(
            self._settings,
            path=self.path,
            adapter=self.adapter,
            dtype=self.dtype,
            device=self.device,
        )
        known = EngineArgs.__dataclass_fields__
        for name in self._settings.vllm:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ModelError(f"{OPTION}: vLLM has no engine argument {name!r}{hint}")
        self._engine = LLMEngine.from_engine_args(EngineArgs(**values))
        if hasattr(self._engine, "model_executor"):  # else it runs in a child
            self._in_this_process.add(self)
        self._watch()
        if self.adapter is not None and not self._engine.add_lora(self._lora):
            raise ModelError(f"vLLM does not take the adapter {self.adapter}")

    @cached_property
    def _lora(self) -> Any:
        from vllm.lora.request import LoRARequest

        return LoRARequest("tuned", ADAPTER, str(self.adapter))

    def _watch(self) -> None:
        """Take log-probabilities of prompts as tensors, before vLLM converts them to lists, which
        for a whole vocabulary take many times the memory and time. In releases without this method,
        the lists are read."""
        core = self._engine.engine_core
        inner = getattr(core, "get_output", None)
        if inner is None:
            return

        def get_output() -> Any:
            found = inner()
            for output in getattr(found, "outputs", ()):
                tensors = getattr(output, "new_prompt_logprobs_tensors", None)
                # Narrow ones, for likelihoods, are left to vLLM.
                if tensors is not None and tensors.logprobs.shape[-1] > NARROW:
                    self._passing.append(tensors)
                    output.new_prompt_logprobs_tensors = None
            return found

        core.get_output = get_output

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Close an engine that failed: requests that never finish may be left in it."""
        try:
            yield
        except ModelError:
            self.close()
            raise
        except Exception as error:  # the libraries below may raise anything
            self.close()
            said = " ".join(str(error).split())[:500] or type(error).__name__
            raise ModelError(f"{self.path} {what} by vLLM: {said}") from error

    def close(self) -> None:
        """Free the memory. Engines in one process share global state of vLLM, so they are closed
        together; the others load again on their next use."""
        here = self in self._in_this_process
        for runtime in [self, *(self._in_this_process if here else ())]:
            runtime._shut()
        if here:
            self._in_this_process.clear()
            gc.unfreeze()  # vLLM has frozen its objects
        gc.collect()

    def _shut(self) -> None:
        engine, self._engine = self._engine, None
        self._ended.clear()
        if engine is not None:
            with quiet():
                engine.engine_core.shutdown()
                engine.engine_core.__dict__.pop("get_output", None)


def _unflattened(found: Any, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their log-probabilities, `[tokens, vocabulary or more]`, from lists."""
    import torch

    rows = range(first, len(found.start_indices))
    parts = [slice(found.start_indices[row], found.end_indices[row]) for row in rows]
    tokens = torch.tensor([found.token_ids[part] for part in parts], dtype=torch.long)
    return tokens, torch.tensor([found.logprobs[part] for part in parts])
