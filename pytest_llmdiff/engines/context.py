"""What the kinds of engines need, besides their own SPEC, to open an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.config.specs import Spec
from pytest_llmdiff.engines import Engine
from pytest_llmdiff.store import Store, store_key

if TYPE_CHECKING:
    from pytest_llmdiff.engines.devices import Placement
    from pytest_llmdiff.engines.files.sources import Sources

# Returns a named fact about a model: from the store, or computed and stored.
Remember = Callable[[str, Callable[[], Mapping[str, Any]]], Mapping[str, Any]]


class KeptBase(Protocol):
    """A base that stays in memory from one pair of models to the next, which may take it. Its kind
    of engine knows what it is."""

    @property
    def place(self) -> Placement:
        """Where it is; the next pair is placed there."""

    def close(self) -> None:
        """Free it if it was not taken."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Context:
    """The pair that an engine is opened for.

    `role` is what the tuned side is to the run: "tuned", or "served". `resolved` has device and
    dtype where a side is loaded from files. `engines` has the sides that are open already: the
    base, when the tuned side is opened, so that an adapter can share its weights. Engines add to
    `notes` what the summary should say about loading. `kept` is the base of the pair before.
    """

    settings: Settings
    store: Store
    base: Spec
    tuned: Spec
    role: str
    resolved: Mapping[str, str]
    notes: list[str]
    place: Callable[[], Placement]
    engines: dict[str, Engine]
    kept: KeptBase | None = None

    @cached_property
    def sources(self) -> Sources:
        from pytest_llmdiff.engines.files.sources import Sources

        return Sources(self.settings, self.store, self.base, self.tuned, self.notes)

    def remember(self, identity: str) -> Remember:
        """Facts about the engine of this identity, kept in the store."""

        def remembered(what: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
            key = store_key("fact", what, identity)
            known: Mapping[str, Any] = self.store.get_or_put("fact", key, lambda: dict(compute()))
            return known

        return remembered
