"""Loads an adapter onto its base, or says in a sentence why it does not fit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from pytest_llmdiff.config.packages import quiet
from pytest_llmdiff.engines.transformers.adapters.binding import read_adapter_config
from pytest_llmdiff.engines.transformers.adapters.misfits import facts_of_shapes, misfits
from pytest_llmdiff.engines.transformers.adapters.model_class import fit_of
from pytest_llmdiff.errors import ModelError

SEED = 0


def load_adapter(model: Any, adapter: Path, base: Path, device: str) -> Any:
    """The PEFT model of `adapter` over the loaded model in `base`.

    Raises:
        ModelError: PEFT cannot load the adapter, or the model does not run with it.
    """
    import torch
    from peft import PeftModel

    kind = read_adapter_config(adapter).peft_type
    config = copy.deepcopy(model.config)  # PEFT may change it
    try:
        # Some initialisations draw random numbers that stay in the weights; within a run, and in
        # all of its processes, they are the same.
        with quiet(), torch.random.fork_rng():
            torch.manual_seed(SEED)
            adapted = PeftModel.from_pretrained(model, str(adapter), torch_device=device)
    except Exception as error:  # the libraries below may raise anything
        reason = _reason(config, adapter, base) or f"{error}"
        raise ModelError(f"the adapter {adapter} does not fit the base {base}: {reason}") from error
    try:
        with quiet(), torch.inference_mode():
            ids = torch.zeros(
                (1, 2), dtype=torch.long, device=model.get_input_embeddings().weight.device
            )
            adapted.eval()(input_ids=ids, use_cache=False)
    except Exception as error:  # as above
        raise ModelError(
            f"the adapter {adapter} ({kind.value}) cannot be run over text prompts alone: "
            f"{type(error).__name__}: {error}"
        ) from error
    return adapted


def _reason(config: Any, adapter: Path, base: Path) -> str | None:
    """What does not fit, in one sentence; None if that is not about the shapes of tensors."""
    try:
        fit = fit_of(config, adapter, trust_remote_code=False)
        found = misfits(facts_of_shapes(config, adapter, fit), base.name)
    except Exception:  # PEFT's own words are then told
        return None
    return "; ".join(f"{each.cause}: {each.step}" for each in found) or None
