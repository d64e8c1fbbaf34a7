"""Facts about the models of a run, as plain JSON: each computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_llmdiff.data.comparison import SIDES, Side
from pytest_llmdiff.engines import capability
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.generation.rows import RowCache, UsedKeys
from pytest_llmdiff.store import Store, store_key


class Memo:
    """Caches what engines answer to questions of any kind. A replay engine answers from its
    recording instead."""

    def __init__(self, loaded: LoadedModels, store: Store, used: UsedKeys | None = None) -> None:
        self._loaded = loaded
        # None in memory: maps of attention are large, and callers may change what they get.
        self._rows: RowCache[Any] = RowCache(store, "check", _value, held=0, used=used)

    def get(
        self, what: str, side: Side, about: Any, compute: Callable[[Any], Any], *, also: Any = None
    ) -> Any:
        """The fact `what` about the engine of a side; `compute` gets the engine.

        `about` is the question, as plain JSON. `also` is whatever else the answer depends on, such
        as the content of files beside the models; a recording is not asked for it, since a replay
        does not have the files.
        """
        (value,) = self.get_all(what, side, [about], lambda engine, _: [compute(engine)], also=also)
        return value

    def get_all(
        self,
        what: str,
        side: Side,
        about: Sequence[Any],
        compute: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        also: Any = None,
        around: Callable[[], Iterable[Any]] = tuple,
        alone: bool = False,
    ) -> list[Any]:
        """Several facts of a kind, in order; `compute` gets the engine and the questions that have
        no stored answer.

        If any is missing, the questions `around` are answered as well: tests will ask them next.
        `alone` says that the answers do not depend on the other side.
        """
        recorded = capability(self._loaded.pair.side(side), "recorded_check")
        if recorded is not None:
            return [recorded(what, each) for each in about]

        def rows(missing: list[Any]) -> list[dict[str, Any]]:
            with self._loaded.failing(side):
                self._loaded.make_room(side)
                values = compute(self._loaded.pair.side(side), missing)
            return [
                {"what": what, "side": side, "about": each, "value": value}
                for each, value in zip(missing, values, strict=True)
            ]

        with self._loaded.untimed():
            prints = [self._loaded.fingerprint(s) for s in ((side,) if alone else SIDES)]
            return self._rows.get_or_compute(
                about,
                lambda each: store_key("check", what, side, prints, [each, also]),
                rows,
                lock=lambda: self._loaded.lock,
                around=around,
            )


def _value(row: dict[str, Any]) -> Any:
    return row["value"]
