"""Facts from the files of base and tuned model, read without loading weights into a model."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.engines.files.engine import FileEngine
from pytest_llmdiff.engines.transformers.adapter import promised_tensors
from pytest_llmdiff.errors import ModelError

DIMENSIONS = (
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim",
)  # fmt: skip
SAMPLING = (
    "do_sample", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
    "no_repeat_ngram_size", "num_beams",
)  # fmt: skip


def inspect_pair(base: FileEngine[Any], tuned: FileEngine[Any]) -> dict[str, Any]:
    """Plain JSON: facts of `base` and `tuned`, `tokens` that differ, and the `adapter` or None.

    Raises:
        ModelError: a configuration or tokenizer cannot be read.
    """
    with quiet():
        own, theirs = base.tokenizer.get_vocab(), tuned.tokenizer.get_vocab()
        config = _config(base)
        adapted = tuned.weights.adapter is not None  # and then the configuration is the base's
        return {
            "base": _side(base, config),
            "tuned": _side(tuned, config if adapted else _config(tuned)),
            "tokens": {
                "other ids": sorted(t for t in theirs if t in own and own[t] != theirs[t])[:8],
                "added": sorted((t for t in theirs if t not in own), key=theirs.__getitem__)[:8],
            },
            "adapter": _adapter(tuned, config) if adapted else None,
        }


def _side(engine: FileEngine[Any], whole: Any) -> dict[str, Any]:
    config = whole.get_text_config()
    tokenizer = engine.tokenizer
    special = {
        role: [getattr(tokenizer, f"{role}_token"), getattr(tokenizer, f"{role}_token_id")]
        for role in ("bos", "eos", "pad")
    }
    return {
        "name": engine.weights.path.stem,
        "dimensions": {name: getattr(config, name, None) for name in DIMENSIONS},
        "embedding rows": config.vocab_size,
        "last token": max(tokenizer.get_vocab().values()),
        "special": special,
        "stop ids": list(engine.declared_stop_ids()),
        "sampling": _sampling(engine.weights.path),
    }


def _config(engine: FileEngine[Any]) -> Any:
    from transformers import AutoConfig

    path = engine.weights.path
    options: dict[str, Any] = {"trust_remote_code": engine.weights.trust_remote_code}
    if path.is_file():
        path, options["gguf_file"] = path.parent, path.name
    try:
        return AutoConfig.from_pretrained(path, **options)
    except Exception as error:  # the libraries below raise errors of any kind
        raise ModelError(f"the configuration of {path} cannot be read: {error}") from error


def _sampling(path: Path) -> dict[str, Any]:
    from transformers import GenerationConfig

    if not (path / "generation_config.json").is_file():
        return {}
    try:
        found = GenerationConfig.from_pretrained(path).to_diff_dict()
    except Exception as error:  # as above
        raise ModelError(f"the generation settings of {path} cannot be read: {error}") from error
    return {name: found[name] for name in SAMPLING if name in found}


def _adapter(engine: FileEngine[Any], base_config: Any) -> dict[str, Any]:
    """Compares the adapter's file with what PEFT would build over the base, on the meta device."""
    from peft import PeftConfig

    folder = Path(str(engine.weights.adapter))
    file = folder / "adapter_model.safetensors"
    header = {n: list(e["shape"]) for n, e in safetensors_header(file).items() if "shape" in e}
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # as above
        raise ModelError(f"the configuration of {folder} cannot be read: {error}") from error
    named_base = config.base_model_name_or_path  # read now: PEFT overwrites it below
    trust = engine.weights.trust_remote_code
    expected, why = _expected(base_config, config, header, trust_remote_code=trust)
    not_finite, zero = _values(file)
    facts: dict[str, Any] = {
        "type": str(getattr(config.peft_type, "value", config.peft_type)),
        "base": named_base,
        "tensors": len(header),
        "not finite": not_finite,
        "zero": zero,
        "unknown": why,
    }
    if expected is not None:
        shapes = {n: [header[n], s] for n, s in expected.items() if n in header and header[n] != s}
        facts |= {
            "unbound": sorted(header.keys() - expected.keys()),
            "missing": sorted(expected.keys() - header.keys()),
            "other shapes": dict(sorted(shapes.items())),
        }
    return facts


def _expected(
    base_config: Any, peft_config: Any, in_file: Container[str], *, trust_remote_code: bool
) -> tuple[dict[str, list[int]] | None, str | None]:
    """Names and shapes of the tensors that PEFT expects, or why they are unknown."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    peft_config.inference_mode = True
    if hasattr(peft_config, "init_lora_weights"):
        peft_config.init_lora_weights = True  # other values need the base's weights
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                base_config, trust_remote_code=trust_remote_code
            )
            model = get_peft_model(model, peft_config)
        state = promised_tensors(model, in_file)
    except ValueError as error:
        return {}, str(error)  # the targets match no module of the base: nothing can bind
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        return None, str(error)
    return {name: list(tensor.shape) for name, tensor in state.items()}, None


def _values(file: Path) -> tuple[list[str], bool]:
    """The tensors with NaN or infinity, and whether the adapter adds only zeros to the base.

    LoRA starts with B = 0 and stays there if no training step runs.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    not_finite, zeros, others = [], [], []
    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  not a mapping
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    not_finite.append(name)
                if "lora_B" in name or "lora_embedding_B" in name:
                    zeros.append(not bool(tensor.count_nonzero()))
                elif "lora_" not in name:
                    others.append(name)
    except SafetensorError as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    return sorted(not_finite), bool(zeros) and all(zeros) and not others
