"""Opens the transformers engine of a SPEC, over the base's weights where an adapter shares them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context

if TYPE_CHECKING:
    from pytest_llmdiff.engines.transformers.weights import Weights

VERSIONS = ("peft", "gguf", "bitsandbytes")


def check(spec: Spec, option: str, _base: Spec, settings: Settings) -> None:
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
        **context.resolved,
    )
    base = context.engines.get("base")
    if source.adapter and isinstance(base, TransformersEngine):
        weights = base.weights
    else:
        weights = _weights(source.path, context.sources.loaded_adapter(source, side), context)
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


def _weights(path: Path, adapter: Path | None, context: Context) -> Weights:
    from pytest_llmdiff.engines.transformers.weights import Weights

    return Weights(
        path,
        adapter=adapter,
        settings=context.settings,
        place=context.place,
        device=context.resolved["device"],
        dtype=context.resolved["dtype"],
        conversions=context.sources.conversions,
    )
