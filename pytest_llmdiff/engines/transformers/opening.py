"""Opens the transformers engine of a SPEC, over the base's weights where an adapter shares them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_llmdiff.config.packages import require_packages
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.store import content_key

if TYPE_CHECKING:
    from pytest_llmdiff.engines.files.sources import Source
    from pytest_llmdiff.engines.transformers.weights import Weights

VERSIONS = ("peft", "gguf", "bitsandbytes")
# Of what is stored for a model without an adapter. Before 2, an adapter that alters its base when
# it is switched off could leave replies of another model there.
VERSION_ALONE = 2


def check(spec: Spec, option: str, _base: Spec, settings: Settings) -> None:
    require_packages(spec.kind, f"{option}: {spec.text}")
    if spec.kind in ("weights", "gguf"):
        from pytest_llmdiff.engines.files.quantization import check_quantized

        check_quantized(spec, option, settings)


def open_engine(spec: Spec, side: str, context: Context) -> Engine:
    from pytest_llmdiff.engines.files.quantization import versions_of
    from pytest_llmdiff.engines.transformers.engine import TransformersEngine
    from pytest_llmdiff.engines.transformers.hidden_states import HiddenStateCache

    source = context.sources.of(spec, side)
    identity = source.identity(
        "transformers",
        VERSIONS,
        quantization=context.settings.quantization,
        quantized=dict(versions_of(source.path)),
        **(
            {"alone": VERSION_ALONE}
            if source.adapter is None
            else _of_one_run(source.adapter, context)
        ),
        **context.resolved,
    )
    base = context.engines.get("base")
    if source.adapter and isinstance(base, TransformersEngine):
        weights = base.weights
    else:
        weights = _weights(source, context.sources.loaded_adapter(source, side), context)
    return TransformersEngine(
        weights=weights,
        renderer=source.renderer,
        adapted=side == "tuned",
        identity=identity,
        batch_size=context.settings.batch_size,
        remembered=context.remember(identity),
        state_cache=HiddenStateCache(
            context.store, identity, dtype=weights.dtype, place=lambda: context.place().name
        ),
    )


def _of_one_run(adapter: Path, context: Context) -> dict[str, str]:
    """Makes the identity of an adapter that is another one at each load valid for this run only, so
    that no later run takes its replies from the store."""
    from pytest_llmdiff.engines.transformers.adapter_off import differs_at_each_load

    setting = differs_at_each_load(adapter)
    if setting is None:
        return {}
    context.notes.append(
        f"the adapter {adapter.name} was saved with init_lora_weights={setting!r}, and loading it "
        "draws random numbers: the tuned model is another one at each load. It is judged, and "
        "nothing that it computes is kept for later runs; save the adapter with "
        "path_initial_model_for_weight_conversion (PEFT), which makes it an ordinary LoRA"
    )
    return {"run": os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid4().hex}


def _weights(source: Source, adapter: Path | None, context: Context) -> Weights:
    from pytest_llmdiff.engines.transformers.base_files import BaseFiles
    from pytest_llmdiff.engines.transformers.weights import KeptBase, Weights

    files = BaseFiles(
        path=source.path,
        content=content_key(
            {
                "weights": source.content["weights"],
                "quantization": context.settings.quantization,
                "trust_remote_code": context.settings.trust_remote_code,
                **context.resolved,
            }
        ),
        settings=context.settings,
        place=context.place,
        device=context.resolved["device"],
        dtype=context.resolved["dtype"],
        conversions=context.sources.conversions,
    )
    kept = context.kept if isinstance(context.kept, KeptBase) else None
    if kept is not None and (adapter is None or kept.content != files.content):
        kept.close()
    return Weights(files, adapter=adapter, kept=kept)
