"""The kinds of engines, by name. A new kind is a module with the two functions below, a line here,
and a form of SPEC in `config/specs.py`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.engines.context import Context

# By `Spec.engine`. A module is imported when a SPEC of its kind is used.
KNOWN: Mapping[str, str] = {
    "python": "pytest_llmdiff.engines.python",
    "replay": "pytest_llmdiff.engines.replay",
    "scripted": "pytest_llmdiff.engines.scripted",
    "server": "pytest_llmdiff.engines.server.opening",
    "transformers": "pytest_llmdiff.engines.transformers.opening",
    "vllm": "pytest_llmdiff.engines.vllm.opening",
}


class EngineKind(Protocol):
    """What a module in `KNOWN` defines."""

    def check(self, spec: Spec, option: str, base: Spec, settings: Settings, /) -> None:
        """Refuse a SPEC that cannot work here, before anything is loaded.

        `option` is where the SPEC was given, for the message.

        Raises:
            ConfigError: the message says what would work.
        """

    def open_engine(self, spec: Spec, side: str, context: Context, /) -> Engine:
        """The engine of one side ("base" or "tuned"). No weights are loaded; hub files are
        fetched."""


def kind_of(spec: Spec) -> EngineKind:
    return cast(EngineKind, import_module(KNOWN[spec.engine]))
