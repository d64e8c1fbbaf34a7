"""Opens the engine of a server: one that sends messages, or, where the tokenizer is given, one that
renders prompts here and sends token ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import installed_version, require_packages
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec, given_tokenizer
from pytest_llmdiff.data.files.hashes import files_hash
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context
from pytest_llmdiff.engines.files.artifacts import CONFIG_FILES, tokenizer_files
from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.training.template_source import TemplateSource

VERSIONS = ("transformers", "tokenizers")


def check(spec: Spec, option: str, _base: Spec, settings: Settings) -> None:
    if settings.template is not None and settings.tokenizer is None:
        raise ConfigError(
            f"--llmdiff-template: {option} is a server, which renders prompts with the template "
            "that it was started with; start it with this one (vLLM and llama.cpp: --chat-template "
            "FILE), or give its tokenizer (--llmdiff-tokenizer) to have prompts rendered here"
        )
    if _speaks_ollama(spec):
        _check_ollama(option, settings)
    if settings.tokenizer is not None:
        require_packages("tokenizer", f"--llmdiff-tokenizer: {settings.tokenizer}")


def _speaks_ollama(spec: Spec) -> bool:
    return (spec.url or "").endswith("/api")


def _check_ollama(option: str, settings: Settings) -> None:
    if settings.tokenizer is not None:
        raise ConfigError(
            f"--llmdiff-tokenizer: {option} is Ollama by its own API, which takes messages and no "
            "token ids: leave it out, or serve the model with vLLM or llama.cpp"
        )
    unknown = sorted(settings.template_kwargs.keys() - {"enable_thinking"})
    if unknown:
        raise ConfigError(
            f"--llmdiff-template-kwargs: {option} is Ollama by its own API, which takes "
            f"enable_thinking alone, not {', '.join(unknown)}"
        )


def open_engine(spec: Spec, side: str, context: Context) -> Engine:
    """Sends nothing to the server yet."""
    from pytest_llmdiff.engines.server.chat import ServerEngine
    from pytest_llmdiff.engines.server.endpoint import Endpoint
    from pytest_llmdiff.engines.server.parameters import parameters_of

    settings, role = context.settings, context.role if side == "tuned" else side
    endpoint = Endpoint(url=spec.url or "", model=spec.reference or "", role=role, query=spec.query)
    options: dict[str, Any] = {
        "in_flight": settings.batch_size,
        "template_kwargs": settings.template_kwargs,
        "parameters": parameters_of(settings.server_parameters, role),
    }
    tokenizer = given_tokenizer(settings)
    if tokenizer is None:
        if _speaks_ollama(spec):
            from pytest_llmdiff.engines.server.ollama import OllamaEngine

            return OllamaEngine(endpoint, **options)
        return ServerEngine(endpoint, **options)
    from pytest_llmdiff.engines.files.sources import given_template
    from pytest_llmdiff.engines.server.raw import RawServerEngine

    template = given_template(settings)
    identity = _identity(tokenizer, template, settings, context.store)
    return RawServerEngine(
        endpoint,
        renderer=context.sources.renderer(tokenizer, template, None),
        identity=identity,
        remembered=context.remember(identity),
        **options,
    )


def _identity(
    tokenizer: Path, template: TemplateSource | None, settings: Settings, store: Store
) -> str:
    """Content hash of what decides a prompt's token ids and where replies stop."""
    files = [*tokenizer_files(tokenizer), *(tokenizer / name for name in CONFIG_FILES)]
    content: dict[str, Any] = {
        "tokenizer": files_hash(store, [file for file in files if file.is_file()]),
        "template": None if template is None else template.content(),
        "template_kwargs": dict(settings.template_kwargs),
        "trust_remote_code": settings.trust_remote_code,
        "versions": {name: installed_version(name) for name in VERSIONS},
    }
    return content_key(content)
