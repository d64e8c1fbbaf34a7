"""One engine of vLLM in this process or a child of it, with at most one LoRA adapter beside it."""

from __future__ import annotations

import gc
import logging
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
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    import torch

# What is set where the user has not: no telemetry; no log lines of its own among a test's output.
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CONFIGURE_LOGGING": "0"}
# On a CPU: one process (a second one takes as much memory and longer to start), whose threads the
# system places, since other workers run beside it.
CPU_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
# The share of a GPU's memory that it takes where no argument says otherwise.
GPU_SHARE = 0.92
ADAPTER = 1  # the id of the only adapter
NARROW = 8  # columns of log-probabilities that may become lists

Ids = Sequence[int]
# Token ids, sampling parameters, and whether the adapter is on.
Asked = tuple[Ids, Any, bool]


class VLLMRuntime:
    """A model under vLLM. Nothing is imported or loaded before it is used.

    Base and tuned side of an adapter share one of these: requests say whether they are for the
    adapter.
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
        self._ended: dict[str, Any] = {}  # finished outputs that nobody has taken yet
        self._passing: list[Any] = []  # log-probabilities of prompts as they come by

    @property
    def trust_remote_code(self) -> bool:
        return self._settings.trust_remote_code

    @property
    def bytes(self) -> float:
        """Memory that it takes, in bytes: on GPUs a share of each, whatever the model's size; on a
        CPU the weights and the cache."""
        given = self._settings.vllm
        if self.device == "cuda":
            from pytest_llmdiff.engines.devices import cuda_memory

            return float(given.get("gpu_memory_utilization", GPU_SHARE)) * sum(cuda_memory())
        space = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 0) * (1 << 30)
        cache = float(given.get("kv_cache_memory_bytes", space or CPU_CACHE))
        return parameter_count(self.path) * BYTES[self.dtype] + cache

    @property
    def context(self) -> int:
        """How many tokens prompt and reply may have together: one less than the model reads, so
        that vLLM has a place for the token that it always generates behind what it scores."""
        return int(self.load().model_config.max_model_len) - 1

    @property
    def vocabulary(self) -> int:
        """How many token ids the model has embeddings and logits for."""
        return int(self.load().model_config.get_vocab_size())

    @cached_property
    def adapts_head(self) -> bool:
        """Whether the adapter changes the output layer, which vLLM leaves out of account in
        log-probabilities of prompts."""
        return self.adapter is not None and HEAD in target_modules(self.adapter)

    def run(self, asked: Sequence[Asked]) -> Iterator[tuple[int, Any]]:
        """Index and finished output of each request, in the order that they end in.

        Raises:
            ModelError: vLLM failed; the engine is gone and loads again on the next use.
        """
        engine = self.load()
        run = uuid.uuid4().hex[:8]  # those of a run that was broken off never get into the way
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
        """Let the engine go on. What ends may be of another run that is read in turns with this."""
        if not engine.has_unfinished_requests():
            raise ModelError(f"{self.path}: vLLM has lost requests")
        with _untraced():
            self._ended |= {each.request_id: each for each in engine.step() if each.finished}

    def prompt_logprobs(self, ids: Ids, *, adapted: bool, first: int) -> torch.Tensor:
        """Log-probabilities `[len(ids) - first, vocabulary]`, float32, at the tokens from `first`
        (at least 1) on: what the model expected in the place of each."""
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
        """Sampling parameters, greedy unless given otherwise; all that vLLM or the model's own
        files might set are set.

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
        """Start the engine once. Raises ModelError with what vLLM said."""
        if self._engine is None:
            cpu = self.device != "cuda"
            for name, value in (ENVIRONMENT | (CPU_ENVIRONMENT if cpu else {})).items():
                os.environ.setdefault(name, value)
            limit_threads()
            with (
                self._failing("cannot be started"), _threads_left_settable(), _untraced(), quiet()
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
        """Take log-probabilities of prompts as tensors, before they become lists: those of a whole
        vocabulary take many times the memory and time. Where this release has no such place, the
        lists are read."""
        core = self._engine.engine_core
        inner = getattr(core, "get_output", None)
        if inner is None:
            return

        def get_output() -> Any:
            found = inner()
            for output in getattr(found, "outputs", ()):
                tensors = getattr(output, "new_prompt_logprobs_tensors", None)
                # Those for likelihoods, of a token or two, take the ordinary way.
                if tensors is not None and tensors.logprobs.shape[-1] > NARROW:
                    self._passing.append(tensors)
                    output.new_prompt_logprobs_tensors = None
            return found

        core.get_output = get_output

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """An engine that failed is not asked again: requests are left in it that never end."""
        try:
            yield
        except ModelError:
            self.close()
            raise
        except Exception as error:  # what the libraries below it raise is of every kind
            self.close()
            said = " ".join(str(error).split())[:500] or type(error).__name__
            raise ModelError(f"{self.path} {what} by vLLM: {said}") from error

    def close(self) -> None:
        """Free the memory. Engines in one process share what vLLM keeps for all of them, and end
        together; the others load again on their next use."""
        here = self in self._in_this_process
        for runtime in [self, *(self._in_this_process if here else ())]:
            runtime._shut()
        if here:
            self._in_this_process.clear()
            gc.unfreeze()  # vLLM hides what it made from the collector
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


@contextmanager
def _untraced() -> Iterator[None]:
    """pytest listens to loggers that do not propagate as well, and with a listener torch's compiler
    writes down every step that it takes."""
    trace = logging.getLogger("torch.__trace")
    ours = [each for each in trace.handlers if type(each).__module__.partition(".")[0] != "torch"]
    for handler in ours:
        trace.removeHandler(handler)
    try:
        yield
    finally:
        for handler in ours:
            trace.addHandler(handler)


@contextmanager
def _threads_left_settable() -> Iterator[None]:
    """vLLM replaces `torch.set_num_threads` by nothing, which scorers in this process still use."""
    import torch

    before = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = before
