"""The models of a run: opened once, and loaded only while this process holds their lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from pytest_llmdiff.data.comparison import SIDES, Side
from pytest_llmdiff.engines.pair.pair import Pair
from pytest_llmdiff.errors import (
    CapabilityError,
    LLMDiffError,
    ModelError,
    ProbeError,
    once_more,
)
from pytest_llmdiff.generation.locks import ModelLock
from pytest_llmdiff.store import Store

if TYPE_CHECKING:
    from pytest_llmdiff.engines.context import KeptBase
    from pytest_llmdiff.engines.pair.speculative import SpeculativeDecoding


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """What one pair of models leaves to the next: the base in memory, and the lock that the process
    holds for it."""

    base: KeptBase
    lock: ModelLock


class LoadedModels:
    """Both engines, the lock for loading their models, their fingerprints and their failures.

    `untimed` surrounds work that one test begins and many need. What is `handed` over belongs to
    these models from the start.
    """

    def __init__(
        self,
        open_engines: Callable[[], Pair],
        store: Store,
        shared_lock: Callable[[], ModelLock] | None = None,
        untimed: Callable[[], AbstractContextManager[None]] = nullcontext,
        handed: HandedOver | None = None,
    ) -> None:
        self._open = open_engines
        self.untimed = untimed
        self._store = store
        self._shared_lock = shared_lock
        self._handed = handed
        if handed is not None:
            self.lock = handed.lock
        self._fingerprints: dict[Side, str] = {}
        self._failures: dict[str, LLMDiffError] = {}

    @cached_property
    def pair(self) -> Pair:
        with third_party_warnings_ignored():
            return self._open()

    @cached_property
    def lock(self) -> ModelLock:
        """The lock that a process needs to load the models; two pairs in one process share it.

        Used only if a row is missing, since looking for devices may import torch.
        """
        if self._shared_lock is not None:
            return self._shared_lock()
        return ModelLock(self._store, *self.pair.place().locks)

    @cached_property
    def speculative(self) -> SpeculativeDecoding:
        from pytest_llmdiff.engines.pair.speculative import SpeculativeDecoding

        return SpeculativeDecoding(self.pair)

    @property
    def opened(self) -> bool:
        return "pair" in self.__dict__

    @property
    def _held(self) -> bool:
        return "lock" in self.__dict__ and self.lock.held

    def wanted(self) -> bool:
        """Whether another process waits for the models that this one holds."""
        return self._held and self.lock.wanted()

    def hand_over(self) -> HandedOver | None:
        """Close the models, except for the base where the next pair can take it."""
        base = None
        try:
            if self._held:
                base = self.pair.keep_base() if self.opened else self._kept
            if base is not None and self.opened:
                self.pair.close()
        except BaseException:
            if base is not None:
                base.close()
            self.close()
            raise
        if base is None:
            self.close()
            return None
        return HandedOver(base=base, lock=self.lock)

    @property
    def _kept(self) -> KeptBase | None:
        return None if self._handed is None else self._handed.base

    def close(self) -> None:
        try:
            if self.opened:
                self.pair.close()
            elif self._kept is not None:
                self._kept.close()
        finally:
            if self._held:
                self.lock.release()

    def prove(self) -> None:
        """Learn whether both models fit in memory, as far as that shows when they are loaded."""
        with self.failing("base"), self.failing("tuned"):
            self.pair.prove()

    def make_room(self, side: Side) -> None:
        """Unload the other side's model if both do not fit in memory."""
        if not self.pair.fits:
            self.pair.side("tuned" if side == "base" else "base").close()

    def fingerprint(self, side: Side) -> str:
        # Computed once: a model does not change during a run.
        if side not in self._fingerprints:
            found: object = self.pair.side(side).fingerprint()
            if not isinstance(found, str) or not found:  # such models could not be told apart
                raise ModelError(
                    f"the engine of the {side} returned the fingerprint {found!r}; it must be a "
                    "non-empty string that is different for every model"
                )
            self._fingerprints[side] = found
        return self._fingerprints[side]

    def fingerprints(self) -> list[str]:
        return [self.fingerprint(side) for side in SIDES]

    def resolved(self) -> dict[str, str]:
        """What `auto` options resolved to, and the rounding noise if it was measured."""
        found = dict(self.pair.resolved)
        check = self.pair.base.__dict__.get("loop_check")
        if check is not None and check.unserved is None:
            found["tolerance"] = f"{check.tolerance:.2g} nats"
        return found

    @contextmanager
    def failing(self, side: str) -> Iterator[None]:
        """Raises the first failure of a model again, instead of loading it for every further test.

        An engine that lacks a capability or refuses a single probe has not failed.
        """
        if side in self._failures:
            raise once_more(self._failures[side])
        try:
            yield
        except (CapabilityError, ProbeError):
            raise
        except LLMDiffError as error:
            self._failures[side] = once_more(error)
            raise
