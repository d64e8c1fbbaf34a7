"""The files of each side, the renderer for its prompts, and the content hash of it all. No weights
are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FILE_KINDS, Spec, fetch
from pytest_llmdiff.data.files.hashes import files_hash
from pytest_llmdiff.engines.files.artifacts import (
    has_tokenizer,
    tokenizer_files,
    weight_files,
)
from pytest_llmdiff.engines.files.chat_templates import chosen, has_chat_template, templates_in
from pytest_llmdiff.errors import ModelError
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.data.training.template_source import TemplateSource
    from pytest_llmdiff.engines.files.conversion import Conversions
    from pytest_llmdiff.engines.files.rendering import AnyRenderer

VERSIONS = ("torch", "transformers", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files of one side. `path` has the weights, for an `adapter` those of its base. `content`
    is plain JSON of all that a reply depends on, except the engine."""

    path: Path
    adapter: Path | None
    renderer: AnyRenderer
    content: Mapping[str, Any]

    def identity(self, engine: str, versions: tuple[str, ...], **more: Any) -> str:
        """Content hash for an engine, with the versions of its packages."""
        installed = {name: installed_version(name) for name in (*VERSIONS, *versions)}
        return content_key({"engine": engine, **self.content, "versions": installed, **more})


@dataclass(frozen=True)
class Sources:
    """Finds the files of both sides. A side without a chat template gets the other side's."""

    settings: Settings
    store: Store
    base: Spec
    tuned: Spec
    notes: list[str]

    @cached_property
    def conversions(self) -> Conversions:
        from pytest_llmdiff.engines.files.conversion import Conversions

        return Conversions(self.store, self.notes)

    def of(self, spec: Spec, side: str) -> Source:
        """The files of a side. Hub files are fetched."""
        adapter = fetch(spec) if spec.kind == "adapter" else None
        path = fetch(self.base) if adapter else fetch(spec)
        own = adapter if adapter and has_tokenizer(adapter) else path
        template, fallback = self._template(side, adapter, own)
        return Source(
            path=path,
            adapter=adapter,
            renderer=self.renderer(own, template, fallback),
            content=self._content(path, adapter, own, template, fallback),
        )

    def loaded_adapter(self, source: Source, side: str) -> Path | None:
        """The adapter to load with a side's weights. Both sides run over the base's weights where
        the tuned model is an adapter, so its adapter is loaded with the base."""
        shared = side == "base" and self.tuned.kind == "adapter"
        if shared and self.tuned.runtime == self.base.runtime:
            return fetch(self.tuned)
        return source.adapter

    def renderer(
        self, own: Path, template: TemplateSource | None, fallback: Path | None
    ) -> AnyRenderer:
        from pytest_llmdiff.engines.files.rendering import FactoryRenderer, Renderer

        shared: dict[str, Any] = {
            "kwargs": self.settings.template_kwargs,
            "trust_remote_code": self.settings.trust_remote_code,
            "conversions": self.conversions,
        }
        if template is not None and template.factory is not None:
            return FactoryRenderer(own, template=template.factory, **shared)
        jinja = None if template is None else template.jinja
        return Renderer(own, template=jinja, fallback=fallback, **shared)

    def _template(
        self, side: str, adapter: Path | None, own: Path
    ) -> tuple[TemplateSource | None, Path | None]:
        """The template to use instead of the tokenizer's, and the files whose template serves if
        the tokenizer in `own` has none."""
        if self.settings.template is not None:
            return given_template(self.settings), None
        if adapter is not None and own != adapter and (found := templates_in(adapter)):
            return _template_of(adapter, found), None
        if has_chat_template(own):
            return None, None
        other = self.tuned if side == "base" else self.base
        if other.kind not in FILE_KINDS:
            return None, None
        path = fetch(other)
        if other.kind == "adapter" and not has_tokenizer(path):
            found = templates_in(path)
            return (_template_of(path, found) if found else None), None
        return None, path

    def _content(
        self, path: Path, adapter: Path | None, own: Path, template: TemplateSource | None,
        fallback: Path | None,
    ) -> dict[str, Any]:  # fmt: skip
        def hashes(files: list[Path]) -> dict[str, str]:
            return files_hash(self.store, files)

        return {
            "weights": hashes(weight_files(path)),
            "adapter": hashes(weight_files(adapter)) if adapter else None,
            "tokenizer": hashes(tokenizer_files(own)),
            "template": None if template is None else template.content(),
            "fallback": hashes(tokenizer_files(fallback)) if fallback else None,
            "template_kwargs": dict(self.settings.template_kwargs),
            "trust_remote_code": self.settings.trust_remote_code,
        }


def given_template(settings: Settings) -> TemplateSource | None:
    """The template of `--llmdiff-template`. Raises ConfigError if it cannot be read."""
    if settings.template is None:
        return None
    from pytest_llmdiff.data.training.template_source import read_template

    return read_template(
        settings.template,
        option="--llmdiff-template",
        folder=settings.folder_of("template"),
        llamafactory=settings.llamafactory,
    )


def template_note(base: Spec, tuned: Spec, settings: Settings) -> str | None:
    """A note for the header where the base has no chat template."""
    if settings.template or base.path is None or tuned.path is None:
        return None
    try:
        base_has, tuned_has = map(has_chat_template, (base.path, tuned.path))
    except ModelError:
        return None  # the file is damaged, and whatever reads it says so
    if base_has:
        return None
    if tuned_has:
        return "the base has no chat template: the tuned model's is used on both sides"
    return "neither model has a chat template: give one with --llmdiff-template"


def _template_of(folder: Path, templates: Mapping[str, str]) -> TemplateSource:
    from pytest_llmdiff.data.training.template_source import TemplateSource

    name = f"the chat template of {folder.name}"
    return TemplateSource(name=name, jinja=chosen(templates, folder))
