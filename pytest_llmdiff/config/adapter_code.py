"""Adapters whose `adapter_config.json` names code: loading them could run it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmdiff.errors import ConfigError

MEGATRON = "megatron.core"  # the default of every LoRA, which PEFT then does not import


def require_no_code(file: Path, what: str) -> None:
    """Refuse an adapter whose `file`, or that of an adapter which X-LoRA loads, names code.

    PEFT 0.18 and 0.19 import the module in `megatron_core`, whatever it is.

    Raises:
        ConfigError: naming the key and its value.
    """
    files = [file]
    if _read(file).get("peft_type") == "XLORA":
        files += sorted(file.parent.glob(f"*/**/{file.name}"))
    for each in files:
        found = next(_code_in(_read(each)), None)
        if found is not None:
            raise ConfigError(
                f"{what}: {each.relative_to(file.parent)} has {found}, and loading such an adapter "
                "can run Python code that it names; set the key to null if the adapter does not "
                "need it, or merge the adapter where it was trained and give the merged model"
            )


def _read(file: Path) -> dict[str, Any]:
    """The configuration; nothing where it is damaged, which is told of when it is used."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _code_in(config: Mapping[str, Any]) -> Iterator[str]:
    core, options = config.get("megatron_core"), config.get("tokenizer_kwargs")
    if config.get("megatron_config"):
        yield f"megatron_config (with megatron_core {core!r})"
    if core not in (None, "", MEGATRON):
        yield f"megatron_core {core!r}"
    for keys, inside in ((config, ""), (options, "tokenizer_kwargs.")):
        if isinstance(keys, dict) and keys.get("trust_remote_code"):
            yield f"{inside}trust_remote_code {keys['trust_remote_code']!r}"
