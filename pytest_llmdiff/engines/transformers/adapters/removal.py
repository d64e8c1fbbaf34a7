"""Takes an adapter off its base, so that the next one can be put on the same weights.

PEFT removes most kinds of adapters without a trace, and some not. So the base is described before
an adapter is put on, and compared with that afterwards: its modules, with what is set on them and
hooked to them, all its tensors, its configuration, and its logits.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.transformers.adapter_off import alike, digest, tensors
from pytest_llmdiff.engines.transformers.packing import fixed_logits

if TYPE_CHECKING:
    import torch

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, kw_only=True)
class BaseState:
    """What a base is without an adapter.

    `modules` has the class of each module, the names that are set on it and how many hooks it has;
    `digests` that of each tensor, None where its bytes cannot be read; `logits` those of fixed
    token ids, `[1, 8, vocabulary]`.
    """

    modules: Mapping[str, tuple[type, frozenset[str], tuple[int, ...]]]
    digests: Mapping[str, bytes | None]
    config: Any
    logits: torch.Tensor


def state_of(model: Any, logits: torch.Tensor) -> BaseState:
    return BaseState(
        modules={
            name: (type(module), frozenset(own), tuple(len(own[hooks]) for hooks in HOOKS))
            for name, module in model.named_modules()
            for own in (vars(module),)
        },
        digests={name: digest(tensor, whole=False) for name, tensor in tensors(model)},
        config=copy.deepcopy(model.config),
        logits=logits,
    )  # fmt: skip


def without(adapted: Any, before: BaseState) -> Any | None:
    """The base of a PEFT model, as it was `before` the adapter was put on; None if it is not.

    The PEFT model cannot be used afterwards. Tensors that cannot be read say nothing, so that
    offloaded weights and packed types of quantised ones are never taken for the same.
    """
    import torch

    if None in before.digests.values():
        return None
    try:
        with quiet(), torch.no_grad():
            learns_prompts = adapted.active_peft_config.is_prompt_learning
            base = adapted.get_base_model() if learns_prompts else adapted.unload()
            vars(base).pop("peft_config", None)  # older versions of PEFT leave it there
            after = state_of(base, fixed_logits(base))
    except Exception:  # PEFT's kinds raise errors of any kind
        return None
    same = (
        after.modules == before.modules
        and after.digests == before.digests
        and after.config == before.config
        and alike(before.logits, after.logits)
    )
    return base if same else None
