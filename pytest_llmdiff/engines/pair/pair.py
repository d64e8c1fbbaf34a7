"""Both engines of a pair, and the settings that were resolved for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmdiff.config.packages import RAISED
from pytest_llmdiff.engines import Engine, capability
from pytest_llmdiff.errors import ModelError

if TYPE_CHECKING:
    from pytest_llmdiff.engines.context import KeptBase
    from pytest_llmdiff.engines.devices import Placement


def placed_on_cpu() -> Placement:
    from pytest_llmdiff.engines.devices import Placement

    return Placement(device="cpu")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both engines, the resolved device and dtype, and notes for the summary about loading."""

    base: Engine
    tuned: Engine
    resolved: Mapping[str, str]
    notes: Sequence[str] = ()
    place: Callable[[], Placement] = placed_on_cpu

    def side(self, name: str) -> Engine:
        return self.base if name == "base" else self.tuned

    @property
    def fits(self) -> bool:
        """Whether both models can be in memory together.

        An adapter shares its base's weights, so they do, unless loading has shown that it alters
        the base and that memory has no room for both (`prove`).
        """
        shared = self._shared
        return self._fits if shared is None else bool(getattr(shared, "together", True))

    def prove(self) -> None:
        """Load weights that both sides share, where that tells whether they can."""
        prove = getattr(self._shared, "prove", None)
        if prove is not None:
            prove()

    @property
    def _shared(self) -> Any:
        """The weights of both sides, None where each has its own; some engines have none."""
        own = getattr(self.base, "weights", None)
        return own if own is getattr(self.tuned, "weights", None) else None

    @cached_property
    def _fits(self) -> bool:
        """For models with weights of their own. Computed before either is loaded."""
        sizes = [capability(engine, "parameter_bytes") for engine in (self.base, self.tuned)]
        if None in sizes:
            return True
        needed = sum(size() for size in sizes)
        from pytest_llmdiff.engines.devices import free_memory

        # A fifth is left for activations and the KV cache of a batch.
        return bool(needed <= 0.8 * free_memory(self.place().name))

    @property
    def settles_ties(self) -> bool:
        """Whether a near-tie of the tuned model is decided by the base's reply, so that the tuned
        model's reply depends on it. In float32 near-ties are too rare to matter."""
        sides = (self.base, self.tuned)
        return all(capability(side, "steady") or False for side in sides)

    def keep_base(self) -> KeptBase | None:
        """Give the base up to the next pair, if it is in memory and another adapter can be put on
        it. The pair is to be closed then."""
        keep = capability(self.base, "keep_base")
        return None if keep is None else keep()

    def close(self) -> None:
        """Close both engines. Raises ModelError if one of the user's engines cannot be closed; the
        other one is closed in any case."""
        failed: BaseException | None = None
        for engine in (self.base, self.tuned):
            try:
                engine.close()
            except RAISED as error:
                failed = error
        if failed is not None:
            raise ModelError(
                f"an engine raised {type(failed).__name__} when it was closed: {failed}"
            ) from failed
