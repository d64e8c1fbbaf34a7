"""From the SPEC of a server to its engine: one that renders prompts by itself, or, with the
tokenizer at hand, one whose prompts are rendered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec, given_tokenizer
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.files.artifacts import CONFIG_FILES, tokenizer_files
from pytest_llmdiff.engines.server.chat import ServerEngine
from pytest_llmdiff.engines.server.endpoint import Endpoint
from pytest_llmdiff.store import Store, content_key, files_hash

if TYPE_CHECKING:
    from pytest_llmdiff.data.training.template_source import TemplateSource
    from pytest_llmdiff.engines.files.rendering import AnyRenderer

VERSIONS = ("transformers", "tokenizers")
RendererOf = Callable[[Path, "TemplateSource | None", Path | None], "AnyRenderer"]
Remembered = Callable[[Store, str, str, Callable[[], Mapping[str, Any]]], Mapping[str, Any]]


def open_server(
    spec: Spec,
    role: str,
    settings: Settings,
    store: Store,
    template: TemplateSource | None,
    *,
    renderer: RendererOf,
    remembered: Remembered,
) -> Engine:
    """The engine of a server, which is asked nothing yet. `role`: what its model is to the run."""
    endpoint = Endpoint(url=spec.url or "", model=spec.reference or "", role=role)
    options: dict[str, Any] = {
        "in_flight": settings.batch_size,
        "template_kwargs": settings.template_kwargs,
    }
    own = given_tokenizer(settings)
    if own is None:
        return ServerEngine(endpoint, **options)
    from pytest_llmdiff.engines.server.raw import RawServerEngine

    identity = _identity(own, template, settings, store)
    return RawServerEngine(
        endpoint,
        renderer=renderer(own, template, None),
        identity=identity,
        remembered=partial(remembered, store, identity),
        **options,
    )


def _identity(own: Path, template: TemplateSource | None, settings: Settings, store: Store) -> str:
    """What the token ids of prompts depend on, and where replies stop."""
    files = [*tokenizer_files(own), *(own / name for name in CONFIG_FILES)]
    content: dict[str, Any] = {
        "tokenizer": files_hash(store, [file for file in files if file.is_file()]),
        "template": None if template is None else template.content(),
        "template_kwargs": dict(settings.template_kwargs),
        "trust_remote_code": settings.trust_remote_code,
        "versions": {name: installed_version(name) for name in VERSIONS},
    }
    return content_key(content)
