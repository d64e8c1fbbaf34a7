"""Facts from the files of base and tuned model, read without loading weights into a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.engines.files.engine import FileEngine
from pytest_llmdiff.engines.files.gguf_header import check_gguf
from pytest_llmdiff.engines.transformers.adapters.binding import read_adapter_config
from pytest_llmdiff.engines.transformers.adapters.misfits import facts_of_shapes
from pytest_llmdiff.engines.transformers.adapters.model_class import fit_of
from pytest_llmdiff.engines.transformers.adapters.values import values_of
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
        "name": _name(engine.weights.path),
        "dimensions": {name: getattr(config, name, None) for name in DIMENSIONS},
        "embedding rows": config.vocab_size,
        "last token": max(tokenizer.get_vocab().values()),
        "special": special,
        "stop ids": list(engine.declared_stop_ids()),
        "sampling": _sampling(engine.weights.path),
    }


def _name(path: Path) -> str:
    """The name of a model: a file's or folder's, or the repository's in the hub's cache."""
    if path.is_file():
        return path.stem
    if path.parent.name == "snapshots":
        return path.parent.parent.name.removeprefix("models--").replace("--", "/")
    return path.name


def _config(engine: FileEngine[Any]) -> Any:
    from transformers import AutoConfig

    path = engine.weights.path
    options: dict[str, Any] = {"trust_remote_code": engine.weights.trust_remote_code}
    if path.is_file():
        check_gguf(path)
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
    folder = Path(str(engine.weights.adapter))
    config = read_adapter_config(folder)
    values = values_of(folder / "adapter_model.safetensors")
    fit = fit_of(base_config, folder, trust_remote_code=engine.weights.trust_remote_code)
    facts: dict[str, Any] = {
        "type": config.peft_type.value,
        "not finite": values.not_finite,
        "zero": values.zero,
        "unknown": fit.reason,
        **facts_of_shapes(base_config, folder, fit),
    }
    if fit.binding is not None:
        facts |= {"unbound": list(fit.binding.unbound), "missing": list(fit.binding.missing)}
    elif fit.no_target:  # nothing can bind
        header = safetensors_header(folder / "adapter_model.safetensors")
        facts |= {"unbound": sorted(header.keys() - {"__metadata__"}), "missing": []}
    return facts
