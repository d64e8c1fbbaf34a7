"""The engine arguments that vLLM is started with: the user's, the plugin's, and those that change
replies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.errors import ConfigError, ModelError

OPTION = "--llmdiff-vllm"
# Arguments that the plugin sets, and what the user can use instead.
OURS: Mapping[str, str] = {
    "model": "--llm-base and --llm-tuned name the models",
    "tokenizer": "prompts are rendered here, by the model's own tokenizer",
    "tokenizer_mode": "prompts are rendered here, by the model's own tokenizer",
    "tokenizer_revision": "prompts are rendered here, by the model's own tokenizer",
    "skip_tokenizer_init": "prompts are rendered here, by the model's own tokenizer",
    "revision": "the SPEC names it: vllm:ORG/NAME@REVISION",
    "code_revision": "the SPEC names it: vllm:ORG/NAME@REVISION",
    "dtype": "give --llmdiff-dtype",
    "seed": "give --llmdiff-seed",
    "trust_remote_code": "give --llmdiff-trust-remote-code",
    "max_num_seqs": "give --llmdiff-batch-size",
    "generation_config": "every sampling parameter is set by the options of this plugin",
    "override_generation_config": "every sampling parameter is set by the options of this plugin",
    "logits_processors": "every sampling parameter is set by the options of this plugin",
    "enable_lora": "an adapter in --llm-tuned decides it",
    "max_loras": "an adapter in --llm-tuned decides it",
    "max_lora_rank": "an adapter in --llm-tuned decides it",
    "lora_target_modules": "an adapter in --llm-tuned decides it",
    "max_logprobs": "the divergence needs the whole vocabulary",
    "logprobs_mode": "the divergence needs log-probabilities of the model itself",
    "runner": "replies are generated",
    "convert": "replies are generated",
}
# Arguments that change where and how fast a model runs, but not its replies.
NEUTRAL = (
    "gpu_memory_utilization", "kv_cache_memory_bytes", "distributed_executor_backend",
    "max_parallel_loading_workers", "download_dir", "disable_log_stats", "use_tqdm_on_load",
    "master_addr", "master_port", "nnodes", "node_rank", "ray_workers_use_nsight",
)  # fmt: skip
# Environment variables of vLLM that change how it computes.
COMPUTING = ("VLLM_BATCH_INVARIANT", "VLLM_ATTENTION_BACKEND", "VLLM_USE_V2_MODEL_RUNNER")
# Initialisations of PEFT's LoRA that change the base's weights.
TAKING = ("pissa", "olora", "corda", "lora_ga")
# LoRA ranks that vLLM has kernels for.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# On a CPU, vLLM by default takes nine tenths of the machine's memory for its cache.
CPU_CACHE = 4 << 30
# Log-probabilities of the whole vocabulary are computed for all tokens of a step at once.
STEP_TOKENS = 2048
# On a CPU, LoRA kernels are slower the more tokens a step has.
ADAPTED_STEP_TOKENS = 256
CPU_SEQUENCES = 256
HEAD = "lm_head"


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse engine arguments that the plugin sets.

    Raises:
        ConfigError: the message says what to use instead.
    """
    for name in arguments:
        if name in OURS:
            raise ConfigError(f"{OPTION}: {name!r} is set by this plugin: {OURS[name]}")


def computing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What replies depend on besides files, dtype and device, as plain JSON."""
    relevant = {name: arguments[name] for name in sorted(arguments) if name not in NEUTRAL}
    return {
        "arguments": relevant,
        "environment": {name: os.environ.get(name) for name in COMPUTING},
    }


def engine_arguments(
    settings: Settings, *, path: Path, adapter: Path | None, dtype: str, device: str
) -> dict[str, Any]:
    """All arguments for an engine over these files.

    Raises:
        ModelError: vLLM cannot run the adapter.
    """
    given = dict(settings.vllm)
    found: dict[str, Any] = {
        "enable_prefix_caching": True,
        "max_num_batched_tokens": STEP_TOKENS,
        "disable_log_stats": True,
    }
    if device != "cuda":
        # On a CPU, compiling would take longer than the whole run.
        found["enforce_eager"] = True
        found["max_num_seqs"] = CPU_SEQUENCES
        if not {"kv_cache_memory_bytes", "gpu_memory_utilization"} & given.keys() and not (
            os.environ.get("VLLM_CPU_KVCACHE_SPACE")
        ):
            found["kv_cache_memory_bytes"] = CPU_CACHE
        if adapter is not None:
            found["max_num_batched_tokens"] = ADAPTED_STEP_TOKENS
    if settings.batch_size is not None:
        found["max_num_seqs"] = settings.batch_size
    sequences = found.get("max_num_seqs", 0)
    found["max_num_batched_tokens"] = max(found["max_num_batched_tokens"], sequences)
    found |= given
    found |= {
        "model": str(path),
        "dtype": dtype,
        "seed": settings.seed,
        "trust_remote_code": settings.trust_remote_code,
        # Prompts come as token ids, and replies are decoded here.
        "skip_tokenizer_init": True,
        # Ignore the model's own generation config, which would differ between the sides.
        "generation_config": "vllm",
        "max_logprobs": -1,
        "logprobs_mode": "raw_logprobs",
    }
    if adapter is not None:
        found |= {
            "enable_lora": True,
            # vLLM's CPU kernels use the last slot for requests without an adapter: keep it empty.
            "max_loras": 1 if device == "cuda" else 2,
            "max_lora_rank": kernel_rank(adapter),
            # Otherwise vLLM wraps the output layer too, and cannot compute log-probabilities of a
            # prompt.
            "lora_target_modules": sorted(target_modules(adapter)),
        }
    return found


def kernel_rank(adapter: Path) -> int:
    """The smallest rank with kernels in vLLM that is large enough for the adapter.

    Raises:
        ModelError: there is none, or vLLM would put the adapter over other weights than PEFT does.
    """
    file = adapter / "adapter_config.json"
    try:
        config = bounded_json(file.read_text(encoding="utf-8"))
        ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} has no rank `r`: vLLM runs LoRA adapters only") from error
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(TAKING):
        raise ModelError(
            f"{adapter}: with init_lora_weights={start!r}, PEFT takes a part out of the base as it "
            "loads the adapter, and vLLM does not; merge it into its base, or leave out vllm: in "
            "the SPECs"
        )
    found = next((rank for rank in RANKS if rank >= max(ranks)), None)
    if found is None:
        raise ModelError(
            f"{adapter}: its rank is {max(ranks)}, and vLLM runs adapters up to rank {RANKS[-1]}; "
            "merge it into its base"
        )
    return found


def target_modules(adapter: Path) -> set[str]:
    """Names of the modules that an adapter changes, from the header of its weights."""
    header = safetensors_header(adapter / "adapter_model.safetensors")
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in header if ".lora_" in name}
