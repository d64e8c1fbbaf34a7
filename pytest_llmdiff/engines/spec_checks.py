"""Refuses SPECs that cannot work, before anything is loaded. What both sides decide together is
here; what a SPEC's own kind needs is in the module of its kind (`registry.KNOWN`)."""

from __future__ import annotations

from dataclasses import replace

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FILE_KINDS, Spec, parse_spec
from pytest_llmdiff.engines.registry import kind_of
from pytest_llmdiff.errors import ConfigError


def check_pair(base: Spec, tuned: Spec, settings: Settings) -> None:
    """Refuse pairs that cannot work.

    Raises:
        ConfigError: the message says what would work.
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
    if settings.server_parameters:  # refused even where neither side is a server
        from pytest_llmdiff.engines.server.parameters import check_parameters

        check_parameters(settings.server_parameters)
    if settings.vllm:  # refused even where neither side runs under vLLM
        from pytest_llmdiff.engines.vllm.arguments import check_arguments

        check_arguments(settings.vllm)
    _check(base, "--llm-base", base, settings)
    _check(tuned, "--llm-tuned", base, settings)


def check_served(served: Spec, base: Spec, settings: Settings) -> None:
    """Refuse a served model that cannot work beside this base.

    Raises:
        ConfigError: the message says what would work.
    """
    _check(served, "--llm-served", base, served_settings(settings))


def check_judge(settings: Settings) -> None:
    """Refuse a judge that cannot work.

    Raises:
        ConfigError: the message says what would work.
    """
    spec = judge_spec(settings)
    if spec.kind in ("adapter", "replay"):
        what = "a PEFT adapter" if spec.kind == "adapter" else "a recording"
        raise ConfigError(
            f"--llmdiff-judge: {spec.text} is {what}; give a whole model, or a server"
        )
    kind_of(spec).check(spec, "--llmdiff-judge", spec, judge_settings(settings))


def judge_spec(settings: Settings) -> Spec:
    folder = settings.folder_of("judge")
    return parse_spec(settings.judge or "", option="--llmdiff-judge", folder=folder)


def judge_settings(settings: Settings) -> Settings:
    """The settings of the judge, a model of its own: its own template, and a form of its answers
    that a server keeps to if it can. One that refuses the parameter is asked without it."""
    asked = settings.server_parameters.get("judge", {})
    return replace(
        settings,
        template=None,
        template_kwargs={},
        tokenizer=None,
        quantization="none",
        server_parameters={"judge": {"response_format": {"type": "json_object"}, **asked}},
    )


def _check(spec: Spec, option: str, base: Spec, settings: Settings) -> None:
    if spec.kind == "adapter" and base.kind not in FILE_KINDS:
        raise ConfigError(
            f"{option}: {spec.text} is a PEFT adapter, which needs the weights of its base in "
            f"--llm-base; {base.text} has none"
        )
    kind_of(spec).check(spec, option, base, settings)


def served_settings(settings: Settings) -> Settings:
    """The settings of the served model, which may have a dtype and a quantization of its own."""
    return replace(
        settings,
        dtype=settings.served_dtype or settings.dtype,
        quantization=settings.served_quantization or settings.quantization,
    )
