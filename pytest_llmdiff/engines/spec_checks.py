"""What is refused of the SPECs of a run before anything is loaded."""

from __future__ import annotations

from pytest_llmdiff.config.packages import called, installed_version, load_object
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FILE_KINDS, Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.errors import ConfigError, MissingPackageError


def check_pair(base: Spec, tuned: Spec, settings: Settings) -> None:
    """Refuse combinations that cannot work, before anything is loaded.

    Raises:
        ConfigError: naming what fits instead.
    """
    if base.kind == "adapter":
        raise ConfigError(
            f"--llm-base: {base.text} is a PEFT adapter; the base is the model that it was trained "
            "on, and the adapter goes to --llm-tuned"
        )
    if tuned.kind == "adapter" and base.kind in FILE_KINDS and tuned.runtime != base.runtime:
        ran = "vLLM runs the base" if base.runtime == "vllm" else "transformers runs the base"
        both = "write vllm: before both or neither"
        raise ConfigError(
            f"--llm-tuned: {tuned.text} is a PEFT adapter and shares the weights of its base; "
            f"{ran}: {both}"
        )
    if settings.vllm:
        from pytest_llmdiff.engines.vllm.arguments import check_arguments

        check_arguments(settings.vllm)
    check_spec(base, "--llm-base", base, settings)
    check_spec(tuned, "--llm-tuned", base, settings)


def check_spec(spec: Spec, option: str, base: Spec, settings: Settings) -> None:
    """Refuse a SPEC that cannot work beside this base, before anything is loaded.

    Raises:
        ConfigError: naming what would.
    """
    if spec.kind == "adapter" and base.kind not in FILE_KINDS:
        raise ConfigError(
            f"{option}: {spec.text} is a PEFT adapter, which needs the weights of its base in "
            f"--llm-base; {base.text} has none"
        )
    served = settings.served_quantization if option == "--llm-served" else None
    quantization = served or settings.quantization
    if spec.runtime == "vllm":
        _check_vllm(spec, option, base, settings, quantization)
    elif spec.kind in ("weights", "gguf"):
        from pytest_llmdiff.engines.files.quantization import check_quantized

        check_quantized(spec, option, settings, quantization)
    if spec.kind == "python":
        python_engine(spec, option)
    if spec.kind == "scripted" and spec.path is not None:
        ScriptedEngine.from_file(spec.path)
    if spec.kind == "replay" and spec.path is not None:
        from pytest_llmdiff.engines.replay import check_recording

        check_recording(spec.path)
    if spec.kind == "server" and settings.template is not None and settings.tokenizer is None:
        raise ConfigError(
            f"--llmdiff-template: {option} is a server, which renders prompts with the template "
            "that it was started with; start it with this one (vLLM and llama.cpp: --chat-template "
            "FILE), or give its tokenizer (--llmdiff-tokenizer) to have prompts rendered here"
        )
    if spec.kind == "server" and installed_version("openai") is None:
        raise MissingPackageError("openai", f"{option}: {spec.text}", "'pytest-llmdiff[server]'")


def _check_vllm(spec: Spec, option: str, base: Spec, settings: Settings, quantization: str) -> None:
    if spec.kind == "adapter" and base.kind == "gguf":
        raise ConfigError(
            f"{option}: {spec.text} is an adapter over {base.text}, and vLLM reads no GGUF files; "
            "give the base as a folder with Hugging Face weights"
        )
    if quantization != "none":
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


def python_engine(spec: Spec, option: str) -> Engine:
    """The engine that a `python:` SPEC names.

    Raises:
        ConfigError: it names something else.
    """
    found = load_object(spec.reference or "", what=option)
    what = f"{option}: {spec.text}"
    engine = called(found, what=what) if isinstance(found, type) else found
    if not isinstance(engine, Engine) and callable(engine):
        engine = called(engine, what=what)
    if not isinstance(engine, Engine):
        raise ConfigError(
            f"{what} is no engine: it needs the methods fingerprint, generate, "
            "render and close (pytest_llmdiff.Engine)"
        )
    return engine
