"""Why tensors of an adapter do not have the shapes that the base needs, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_llmdiff.engines.files.artifacts import safetensors_header
from pytest_llmdiff.engines.transformers.adapters.binding import read_adapter_config
from pytest_llmdiff.engines.transformers.adapters.model_class import Fit

SHOWN = 3
# The dimension that is the rank, in PEFT's LoRA and AdaLoRA.
RANKS = {"lora_A": 0, "lora_E": 0, "lora_embedding_A": 0, "lora_B": 1, "lora_embedding_B": 1}

Kind = Literal["empty", "rank", "rows", "base"]
Shapes = Mapping[str, tuple[list[int], list[int]]]


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """`kind`: no elements, another rank, another vocabulary, or another base."""

    kind: Kind
    cause: str
    step: str


def facts_of_shapes(config: Any, adapter: Path, fit: Fit) -> dict[str, Any]:
    """What `misfits` judges, as plain JSON."""
    header = safetensors_header(adapter / "adapter_model.safetensors")
    shapes = {n: list(entry["shape"]) for n, entry in header.items() if "shape" in entry}
    other = {} if fit.binding is None else fit.binding.other_shapes
    peft_config = read_adapter_config(adapter)
    return {
        "base": peft_config.base_model_name_or_path,
        "rank": getattr(peft_config, "r", None),
        "tensors": len(shapes),
        "empty": sorted(name for name, shape in shapes.items() if 0 in shape),
        "other shapes": {n: list(s) for n, s in other.items() if 0 not in s[0]},
        "rows": config.get_text_config().vocab_size,
        "multimodal": config.get_text_config() is not config,
    }


def misfits(facts: Mapping[str, Any], base: str) -> list[Misfit]:
    """One for each cause; `base` is the name of the base that was given."""
    found = []
    if facts["empty"]:
        found.append(_empty(facts))
    kinds: dict[Kind, dict[str, Any]] = {"rank": {}, "rows": {}, "base": {}}
    for name, shapes in facts["other shapes"].items():
        kinds[_kind(name, *shapes, rows=facts["rows"], rank=facts["rank"])][name] = shapes
    of = facts["tensors"]
    if kinds["rank"]:
        found.append(Misfit(
            kind="rank",
            cause=f"{len(kinds['rank'])} of the adapter's {of} tensors have another rank than "
            f"adapter_config.json says (r {facts['rank']}): {_shown(kinds['rank'])}",
            step="the file was edited, or is another adapter's: set r and rank_pattern as in the "
            "training, or copy the whole output folder again",
        ))  # fmt: skip
    if kinds["rows"]:
        found.append(_rows(kinds["rows"], facts["rows"], of))
    if kinds["base"]:
        found.append(Misfit(
            kind="base",
            cause=f"{len(kinds['base'])} of the adapter's {of} tensors do not have the shape that "
            f"this base needs: {_shown(kinds['base'])}; the adapter was trained on a model of "
            "another size",
            step=_other_base(facts["base"], base),
        ))  # fmt: skip
    return found


def same_name(trained_on: str, given: str) -> bool:
    """Whether two names of a model, paths or the hub's, end alike."""
    return trained_on.rstrip("/").rpartition("/")[2].lower() == given.rpartition("/")[2].lower()


def _other_base(trained_on: str | None, given: str) -> str:
    if not trained_on:
        return "give the base that the adapter was trained on as --llm-base"
    if same_name(trained_on, given):
        return (
            f"adapter_config.json names {trained_on}, as given, so one of both was replaced since "
            "the training: compare their config.json and revision with those of the training"
        )
    return f"give the base that the adapter was trained on ({trained_on}) as --llm-base"


def _empty(facts: Mapping[str, Any]) -> Misfit:
    names = facts["empty"]
    return Misfit(
        kind="empty",
        cause=f"{len(names)} of the adapter's {facts['tensors']} tensors have no elements, such as "
        f"{names[0]}: DeepSpeed ZeRO-3 (or FSDP) saved them without gathering them from the "
        "processes",
        step="save again with stage3_gather_16bit_weights_on_model_save: true in the DeepSpeed "
        "configuration, or rebuild the weights from the checkpoint with its zero_to_fp32.py",
    )


def _rows(shapes: Shapes, rows: int, of: int) -> Misfit:
    found, needed = next(iter(shapes.values()))
    saved = next(f for f, n in zip(found, needed, strict=True) if f != n)
    why = (
        "in the training, padding rows of the base were cut off (resize_token_embeddings to the "
        "tokenizer's length)"
        if saved < rows
        else "tokens were added in training, or the embeddings were padded"
    )
    return Misfit(
        kind="rows",
        cause=f"{len(shapes)} of the adapter's {of} tensors are for a vocabulary of {saved} rows, "
        f"the base has {rows}: {_shown(shapes)}; {why}",
        step="merge the adapter as it was trained: load the base, resize_token_embeddings "
        f"({saved}), load the adapter, merge_and_unload, save (llamafactory-cli export with "
        "resize_vocab does this), and give the merged model as --llm-tuned",
    )


def _kind(
    name: str, found: Sequence[int], needed: Sequence[int], *, rows: int, rank: int | None
) -> Kind:
    if len(found) != len(needed):
        return "base"
    differing = [i for i, (f, n) in enumerate(zip(found, needed, strict=True)) if f != n]
    if len(differing) != 1:
        return "base"
    (dimension,) = differing
    if needed[dimension] == rows:
        return "rows"
    part = re.search("|".join(sorted(RANKS, key=len, reverse=True)), name)
    of_rank = needed[dimension] == rank if part is None else RANKS[part[0]] == dimension
    return "rank" if of_rank else "base"


def _shown(shapes: Shapes) -> str:
    """The first names, with the shapes in the file and in the base."""
    names = sorted(shapes)
    shown = ", ".join(f"{n} is {shapes[n][0]}, needed {shapes[n][1]}" for n in names[:SHOWN])
    return shown + (f", and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
