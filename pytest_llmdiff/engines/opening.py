"""From two SPECs to the pair of engines, each opened by the module of its kind."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import TYPE_CHECKING

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import FILE_KINDS, Spec
from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.engines.context import Context, KeptBase
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.engines.registry import kind_of
from pytest_llmdiff.engines.spec_checks import judge_settings, judge_spec, served_settings
from pytest_llmdiff.store import Store, content_key

if TYPE_CHECKING:
    from pytest_llmdiff.engines.devices import Placement


def open_pair(
    base: Spec, tuned: Spec, settings: Settings, store: Store, *, role: str = "tuned",
    kept: KeptBase | None = None,
) -> Pair:  # fmt: skip
    """Engines for both SPECs. No weights are loaded; hub files are fetched.

    `role` is what the second one is to the run: "tuned", or "served". `kept` is the base in memory
    that the pair before has left; it is freed if this pair has no use for it.
    """
    resolved: dict[str, str] = {}
    if {base.kind, tuned.kind} & set(FILE_KINDS):
        from pytest_llmdiff.engines.devices import resolve_dtype

        resolved["device"] = auto_device(settings, store)
        resolved["dtype"] = resolve_dtype(settings.dtype, resolved["device"])
    engines: dict[str, Engine] = {}

    @cache
    def place() -> Placement:
        if kept is not None:
            return kept.place
        device = resolved.get("device", "cpu")
        return _placement(base, tuned, settings.device, device, engines)

    context = Context(
        settings=settings, store=store, base=base, tuned=tuned, role=role, resolved=resolved,
        notes=[], place=place, engines=engines, kept=kept,
    )  # fmt: skip
    for side, spec in (("base", base), ("tuned", tuned)):
        engines[side] = kind_of(spec).open_engine(spec, side, context)
    return Pair(
        base=engines["base"],
        tuned=engines["tuned"],
        resolved=resolved,
        notes=context.notes,
        place=place,
    )


def open_served(pair: Pair, base: Spec, served: Spec, settings: Settings, store: Store) -> Pair:
    """The tuned model of `pair` as the base, and the served model as the tuned one.

    `base` is what an adapter is served over. The served model has its own copy of the weights,
    since it is another form of them.
    """
    other = open_pair(base, served, served_settings(settings), store, role="served")
    return Pair(
        base=pair.tuned,
        tuned=other.tuned,
        resolved={**pair.resolved, **other.resolved},
        notes=other.notes,
        place=pair.place,
    )


def open_judge(settings: Settings, store: Store) -> Engine:
    """The engine of `--llmdiff-judge`. No weights are loaded; hub files are fetched."""
    spec, own = judge_spec(settings), judge_settings(settings)
    return open_pair(spec, spec, own, store, role="judge").tuned


def auto_device(settings: Settings, store: Store) -> str:
    """The type of the device. `auto` is stored per machine, so that a run from the store needs no
    torch."""
    if settings.device == "cpu":
        return "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    about = [platform.node(), installed_version("torch"), visible, settings.device]
    key = content_key(["device", about])

    def resolve() -> str:
        from pytest_llmdiff.engines.devices import resolve_device

        return resolve_device(settings.device)

    return str(store.get_or_put("fact", key, resolve))


def _placement(
    base: Spec, tuned: Spec, requested: str, device: str, engines: dict[str, Engine]
) -> Placement:
    """Where the models of this process go; see `devices.placed`."""
    from pytest_llmdiff.engines.devices import cuda_memory, placed, placed_elsewhere

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if base.kind == tuned.kind == "server":
        return placed_elsewhere(worker, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    # vLLM takes the first GPUs that it sees, the same in every process: one process has them all.
    worker = None if "vllm" in (base.runtime, tuned.runtime) else worker

    def needed() -> float:
        sizes = [capability(engine, "parameter_bytes") for engine in engines.values()]
        return max(float(size()) for size in sizes if size is not None)

    return placed(requested, device, worker=worker, memory=cuda_memory, needed=needed)
