"""From SPECs to the pair of engines, with all that replies depend on in their fingerprints."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.artifacts import (
    has_chat_template,
    has_tokenizer,
    tokenizer_files,
    weight_files,
)
from pytest_llmdiff.engines.placement import Placement, cuda_memory, free_memory, placed
from pytest_llmdiff.engines.replay import ReplayEngine, check_recording
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.errors import ConfigError, MissingPackageError
from pytest_llmdiff.loading import installed_version, load_object
from pytest_llmdiff.planning import content_key, store_key
from pytest_llmdiff.settings import Settings
from pytest_llmdiff.specs import Spec, fetch
from pytest_llmdiff.store import Store, files_hash

if TYPE_CHECKING:
    from pytest_llmdiff.engines.conversion import Conversions
    from pytest_llmdiff.engines.rendering import AnyRenderer
    from pytest_llmdiff.engines.weights import Weights
    from pytest_llmdiff.formats.template_source import TemplateSource

# The modules of the transformers engine come in where an engine is opened: recordings and scripts
# need none of them.
VERSIONS = ("torch", "transformers", "tokenizers", "peft", "gguf", "bitsandbytes")
FILE_KINDS = ("weights", "adapter", "gguf")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both engines, what the run's `auto` values came out as, and what loading has to say."""

    base: Engine
    tuned: Engine
    resolved: Mapping[str, str]
    notes: Sequence[str] = ()
    place: Callable[[], Placement] = lambda: Placement(device="cpu")

    def side(self, name: str) -> Engine:
        return self.base if name == "base" else self.tuned

    @cached_property
    def fits(self) -> bool:
        """Whether both sides can be in memory together. Asked first before either is loaded."""
        sizes = [capability(engine, "parameter_bytes") for engine in (self.base, self.tuned)]
        if None in sizes or getattr(self.base, "weights", 0) is getattr(self.tuned, "weights", 1):
            return True
        needed = sum(size() for size in sizes)
        # A fifth is left for activations and the key/value cache of a batch.
        return bool(needed <= 0.8 * free_memory(self.place().name))

    @property
    def settles_ties(self) -> bool:
        """Whether a near-tie of the tuned model is settled by the base's reply, which the tuned
        one's then depends on. In float32 so little is a tie that either outcome will do."""
        sides = (self.base, self.tuned)
        return all(capability(side, "steady") or False for side in sides)

    def close(self) -> None:
        self.base.close()
        self.tuned.close()


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
    if spec.kind == "python":
        _python_engine(spec, option)
    if spec.kind == "scripted" and spec.path is not None:
        ScriptedEngine.from_file(spec.path)
    if spec.kind == "replay" and spec.path is not None:
        check_recording(spec.path)
    if spec.kind == "server" and settings.template is not None and settings.tokenizer is None:
        raise ConfigError(
            f"--llmdiff-template: {option} is a server, which renders prompts with the template "
            "that it was started with; start it with this one (vLLM and llama.cpp: --chat-template "
            "FILE), or give its tokenizer (--llmdiff-tokenizer) to have prompts rendered here"
        )
    if spec.kind == "server" and installed_version("openai") is None:
        raise MissingPackageError("openai", f"{option}: {spec.text}", "'pytest-llmdiff[server]'")


def template_note(base: Spec, tuned: Spec, settings: Settings) -> str | None:
    """What the header says where the base is asked in the tuned model's words."""
    if settings.template or base.path is None or tuned.path is None:
        return None
    if not {base.kind, tuned.kind} <= set(FILE_KINDS) or has_chat_template(base.path):
        return None
    if has_chat_template(tuned.path):
        return "the base has no chat template: the tuned model's is used on both sides"
    return "neither model has a chat template: give one with --llmdiff-template"


def open_pair(
    base: Spec, tuned: Spec, settings: Settings, store: Store, *, role: str = "tuned"
) -> Pair:
    """Engines for both SPECs; nothing is loaded yet, hub files are fetched.

    `role` is what the second of them is to the run: "tuned", or "served".
    """
    resolved: dict[str, str] = {}
    if {base.kind, tuned.kind} & set(FILE_KINDS):
        from pytest_llmdiff.engines.weights import resolve_dtype

        resolved["device"] = auto_device(settings, store)
        resolved["dtype"] = resolve_dtype(settings.dtype, resolved["device"])
    engines: list[Engine] = []

    def needed() -> float:
        sizes = [capability(engine, "parameter_bytes") for engine in engines]
        return max(float(size()) for size in sizes if size is not None)

    @cache
    def place() -> Placement:
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        device = resolved.get("device", "cpu")
        return placed(settings.device, device, worker=worker, memory=cuda_memory, needed=needed)

    notes: list[str] = []
    opener = _Opener(settings, store, resolved, base, tuned, notes, place, role)
    engines.append(opener.engine(base, "base", None))
    engines.append(opener.engine(tuned, "tuned", engines[0]))
    return Pair(base=engines[0], tuned=engines[1], resolved=resolved, notes=notes, place=place)


def open_served(pair: Pair, base: Spec, served: Spec, settings: Settings, store: Store) -> Pair:
    """The tuned model of a pair in the base's place, and in the tuned one's the served model.

    `base` is what an adapter is served over.
    """
    # Its own copy of the weights, whatever it is: what is compared is another form of them.
    own = replace(
        settings,
        dtype=settings.served_dtype or settings.dtype,
        quantization=settings.served_quantization or settings.quantization,
    )
    other = open_pair(base, served, own, store, role="served")
    return Pair(
        base=pair.tuned,
        tuned=other.tuned,
        resolved={**pair.resolved, **other.resolved},
        notes=other.notes,
        place=pair.place,
    )


def given_template(settings: Settings) -> TemplateSource | None:
    """The template of `--llmdiff-template`. Raises ConfigError where it cannot be had."""
    if settings.template is None:
        return None
    from pytest_llmdiff.formats.template_source import read_template

    return read_template(
        settings.template,
        option="--llmdiff-template",
        folder=settings.folder_of("template"),
        llamafactory=settings.llamafactory,
    )


def auto_device(settings: Settings, store: Store) -> str:
    """The device, remembered per machine so that a run from the store needs no torch."""
    if settings.device == "cpu":
        return "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    about = [platform.node(), installed_version("torch"), visible, settings.device]
    key = content_key(["device", about])
    known = store.get("fact", [key]).get(key)
    if known is None:
        from pytest_llmdiff.engines.weights import resolve_device

        known = resolve_device(settings.device)
        store.put("fact", {key: known})
    return str(known)


@dataclass(frozen=True)
class _Opener:
    settings: Settings
    store: Store
    resolved: Mapping[str, str]
    base: Spec
    tuned: Spec
    notes: list[str]
    place: Callable[[], Placement]
    role: str  # of the tuned side

    @cached_property
    def conversions(self) -> Conversions:
        from pytest_llmdiff.engines.conversion import Conversions

        return Conversions(self.store, self.notes)

    def engine(self, spec: Spec, side: str, base: Engine | None) -> Engine:
        if spec.kind == "python":
            return _python_engine(spec, f"--llm-{side}")
        if spec.kind == "scripted" and spec.path is not None:
            return ScriptedEngine.from_file(spec.path)
        if spec.kind == "replay" and spec.path is not None:
            return ReplayEngine(spec.path, side, self.store)
        if spec.kind == "server":
            return self._server(spec, side)
        return self._transformers(spec, side, base)

    def _server(self, spec: Spec, side: str) -> Engine:
        from pytest_llmdiff.engines.server_opening import open_server

        return open_server(
            spec,
            self.role if side == "tuned" else side,
            self.settings,
            self.store,
            given_template(self.settings),
            renderer=self._renderer,
            remembered=_remembered,
        )

    def _transformers(self, spec: Spec, side: str, base: Engine | None) -> Engine:
        from pytest_llmdiff.engines.huggingface import TransformersEngine
        from pytest_llmdiff.engines.states import KeptStates

        adapter = fetch(spec) if spec.kind == "adapter" else None
        path = fetch(self.base) if adapter else fetch(spec)
        own = adapter if adapter and has_tokenizer(adapter) else path
        template, fallback = self._template(side, adapter, own)
        renderer = self._renderer(own, template, fallback)
        content = None if template is None else template.content()
        identity = self._identity(path, adapter, own, content, fallback)
        if side == "base" and self.tuned.kind == "adapter":
            # The adapter is loaded over the base at once: both sides run over these weights.
            weights = self._weights(path, fetch(self.tuned))
        elif adapter and isinstance(base, TransformersEngine):
            weights = base.weights
        else:
            weights = self._weights(path, adapter)
        return TransformersEngine(
            weights=weights,
            renderer=renderer,
            adapted=side == "tuned",
            identity=identity,
            batch_size=self.settings.batch_size,
            remembered=partial(_remembered, self.store, identity),
            kept=KeptStates(
                self.store, identity, dtype=weights.dtype, place=lambda: self.place().name
            ),
        )

    def _renderer(
        self, own: Path, template: TemplateSource | None, fallback: Path | None
    ) -> AnyRenderer:
        from pytest_llmdiff.engines.rendering import FactoryRenderer, Renderer

        shared: dict[str, Any] = {
            "kwargs": self.settings.template_kwargs,
            "trust_remote_code": self.settings.trust_remote_code,
            "conversions": self.conversions,
        }
        if template is not None and template.factory is not None:
            return FactoryRenderer(own, template=template.factory, **shared)
        jinja = None if template is None else template.jinja
        return Renderer(own, template=jinja, fallback=fallback, **shared)

    def _weights(self, path: Path, adapter: Path | None) -> Weights:
        from pytest_llmdiff.engines.weights import Weights

        return Weights(
            path,
            adapter=adapter,
            settings=self.settings,
            place=self.place,
            device=self.resolved["device"],
            dtype=self.resolved["dtype"],
            conversions=self.conversions,
        )

    def _template(
        self, side: str, adapter: Path | None, own: Path
    ) -> tuple[TemplateSource | None, Path | None]:
        """The given template, and where the template comes from if `own` has none."""
        if self.settings.template is not None:
            return given_template(self.settings), None
        beside = adapter / "chat_template.jinja" if adapter else None
        if beside is not None and own != adapter and beside.is_file():
            return _jinja_of(beside), None
        if has_chat_template(own):
            return None, None
        other = self.tuned if side == "base" else self.base
        if other.kind not in FILE_KINDS:
            return None, None
        path = fetch(other)
        if other.kind == "adapter" and not has_tokenizer(path):
            file = path / "chat_template.jinja"
            return (_jinja_of(file) if file.is_file() else None), None
        return None, path

    def _identity(
        self, path: Path, adapter: Path | None, own: Path, template: object,
        fallback: Path | None,
    ) -> str:  # fmt: skip
        def hashes(files: list[Path]) -> dict[str, str]:
            return files_hash(self.store, files)

        content: dict[str, Any] = {
            "engine": "transformers",
            "weights": hashes(weight_files(path)),
            "adapter": hashes(weight_files(adapter)) if adapter else None,
            "tokenizer": hashes(tokenizer_files(own)),
            "template": template,
            "fallback": hashes(tokenizer_files(fallback)) if fallback else None,
            "template_kwargs": dict(self.settings.template_kwargs),
            "quantization": self.settings.quantization,
            "trust_remote_code": self.settings.trust_remote_code,
            "versions": {name: installed_version(name) for name in VERSIONS},
            **self.resolved,
        }
        return content_key(content)


def _remembered(
    store: Store, identity: str, what: str, compute: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A fact about an engine of this identity: from the store, or computed and kept there."""
    key = store_key("fact", what, identity)
    known: Mapping[str, Any] | None = store.get("fact", [key]).get(key)
    if known is None:
        known = compute()
        store.put("fact", {key: dict(known)})
    return known


def _jinja_of(file: Path) -> TemplateSource:
    from pytest_llmdiff.formats.template_source import TemplateSource

    return TemplateSource(name=file.name, jinja=file.read_text(encoding="utf-8"))


def _python_engine(spec: Spec, option: str) -> Engine:
    found = load_object(spec.reference or "", what=option)
    engine = found() if isinstance(found, type) else found
    if not isinstance(engine, Engine):
        if callable(engine):
            engine = engine()
        if not isinstance(engine, Engine):
            raise ConfigError(
                f"{option}: {spec.text} is no engine: it needs the methods fingerprint, generate, "
                "render and close (pytest_llmdiff.Engine)"
            )
    return engine
