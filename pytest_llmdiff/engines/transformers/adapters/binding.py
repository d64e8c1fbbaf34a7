"""What PEFT binds of an adapter's file to a model, by PEFT's own loading; nothing is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import installed_version, quiet
from pytest_llmdiff.data.files.strict_json import bounded_json
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Binding:
    """How an adapter's file fits a model.

    `unbound` are names in the file that PEFT would ignore, `missing` are tensors that the adapter
    has and the file lacks, `other_shapes` are names with the shapes in the file and in the model.
    """

    bound: int
    unbound: tuple[str, ...]
    missing: tuple[str, ...]
    other_shapes: dict[str, tuple[list[int], list[int]]]


def read_adapter_config(folder: Path) -> Any:
    """PEFT's configuration of an adapter.

    Raises:
        ModelError: it cannot be read, or names a kind of adapter that PEFT does not know.
    """
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftConfig

    file = folder / "adapter_config.json"
    try:
        kind = bounded_json(file.read_text(encoding="utf-8")).get("peft_type")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    if kind not in list(PEFT_TYPE_TO_CONFIG_MAPPING):
        raise ModelError(
            f"{file} has peft_type {kind!r}, which peft {installed_version('peft')} does not know: "
            "install the version of peft that the adapter was trained with"
        )
    try:
        with quiet():
            return PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # the libraries below raise errors of any kind
        raise ModelError(f"the configuration of {folder} cannot be read: {error}") from error


def empty_peft_model(auto_class: Any, config: Any, folder: Path, *, trust_remote_code: bool) -> Any:
    """The PEFT model of an adapter on the meta device, without weights.

    Raises:
        ModelError: the adapter's configuration cannot be read.
        Exception: whatever PEFT raises where it cannot build the adapter.
    """
    import torch
    from peft import get_peft_model

    peft_config = read_adapter_config(folder)
    peft_config.inference_mode = True
    if hasattr(peft_config, "init_lora_weights"):
        peft_config.init_lora_weights = True  # other values need the base's weights
    with quiet(), torch.device("meta"):
        # A copy, since PEFT changes it where it replicates layers.
        model = auto_class.from_config(copy.deepcopy(config), trust_remote_code=trust_remote_code)
        return get_peft_model(model, peft_config)


def binding(model: Any, folder: Path) -> Binding:
    """How the file in `folder` fits a PEFT model, whose weights stay as they are.

    Both the file's tensors and those that PEFT would save go through PEFT's renaming.
    """
    from peft import get_peft_model_state_dict, load_peft_weights

    learns_prompts = model.active_peft_config.is_prompt_learning
    renames = getattr(model.get_base_model(), "_checkpoint_conversion_mapping", None)
    with quiet():
        # By default, PEFT would ask the hub whether the base's vocabulary was changed.
        promised = get_peft_model_state_dict(model, save_embedding_layers=False)
        given = load_peft_weights(
            str(folder), device="cpu", key_mapping=None if learns_prompts else renames
        )
        if learns_prompts:  # PEFT loads these by their names as they are
            absent, found, needed, places = set[str](), given, promised, promised
        else:
            absent, found = _renamed(model, given)
            # Last: some kinds take indices from what they are given here.
            _, needed = _renamed(model, promised)
            places = model.state_dict()
    named = {id(tensor): name for name, tensor in (*given.items(), *promised.items())}
    bound = [name for name in found if name in places]
    shapes = {
        named.get(id(found[name]), name): (list(found[name].shape), list(places[name].shape))
        for name in bound
    }
    return Binding(
        bound=len(bound),
        unbound=tuple(sorted(named.get(id(t), n) for n, t in found.items() if n not in places)),
        missing=tuple(
            sorted({named.get(id(t), n) for n, t in needed.items() if n not in found} | absent)
        ),
        other_shapes={n: both for n, both in sorted(shapes.items()) if both[0] != both[1]},
    )


class _RenamedError(Exception):
    """Carries the tensors by the names under which PEFT would load them."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.tensors = tensors


def _renamed(
    model: Any, tensors: Mapping[str, torch.Tensor]
) -> tuple[set[str], dict[str, torch.Tensor]]:
    """The names that PEFT looked for in vain, and the tensors by their names in the model.

    PEFT's function for loading is stopped where it would copy the tensors into the model.
    """
    import torch
    from peft import set_peft_model_state_dict

    def stop(renamed: dict[str, torch.Tensor], *_: object, **__: object) -> None:
        raise _RenamedError(renamed)

    absent: dict[str, torch.Tensor] = {}
    model.load_state_dict = stop
    try:
        while True:
            try:
                set_peft_model_state_dict(model, {**tensors, **absent})
            except _RenamedError as done:
                stand_ins = set(map(id, absent.values()))
                found = {n: t for n, t in done.tensors.items() if id(t) not in stand_ins}
                return set(absent), found
            except KeyError as error:
                # A module that was saved in full: PEFT needs each of its tensors.
                (name,) = error.args
                if not isinstance(name, str) or name in absent or name in tensors:
                    raise
                absent[name] = torch.empty(0, device="meta")
    finally:
        del model.load_state_dict
