"""Memo about the models of a run, in plain JSON: computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_llmdiff.config.packages import third_party_warnings_ignored
from pytest_llmdiff.data.comparison import SIDES, Side
from pytest_llmdiff.engines import capability
from pytest_llmdiff.generation.loaded import LoadedModels
from pytest_llmdiff.generation.rows import UsedKeys
from pytest_llmdiff.store import Store, store_key


class Memo:
    """Answers of the engines to questions of any kind. A recording answers with what it holds."""

    def __init__(self, loaded: LoadedModels, store: Store, used: UsedKeys | None = None) -> None:
        self._loaded = loaded
        self._store = store
        self._used = used

    def get(
        self, what: str, side: Side, about: Any, compute: Callable[[Any], Any], *, also: Any = None
    ) -> Any:
        """The fact `what` about the engine of a side; `compute` is given the engine.

        `about` is plain JSON as well: what was asked. `also` is what else the answer depends on
        (the content of files beside the models): a replay, which has not those files, is not asked
        for it.
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
        around: Callable[[], Sequence[Any]] = list,
        alone: bool = False,
    ) -> list[Any]:
        """Several facts of a kind, in order; `compute` is given those that are not known.

        Where any is missing, those `around` are computed as well: what will be asked for next.
        `alone` says that they do not depend on the other side.
        """
        recorded = capability(self._loaded.pair.side(side), "recorded_check")
        if recorded is not None:
            return [recorded(what, each) for each in about]
        prints = [self._loaded.fingerprint(s) for s in ((side,) if alone else SIDES)]

        def keyed(asked: Sequence[Any]) -> dict[str, Any]:
            return {store_key("check", what, side, prints, [each, also]): each for each in asked}

        keys = [key for each in about for key in keyed([each])]

        def work() -> None:
            wanted = keyed([*about, *around()])
            there = self._store.get("check", list(wanted))
            todo = {key: each for key, each in wanted.items() if key not in there}
            with self._loaded.failing(side), third_party_warnings_ignored():
                self._loaded.make_room(side)
                values = compute(self._loaded.pair.side(side), list(todo.values()))
            rows = {
                key: {"what": what, "side": side, "about": each, "value": value}
                for (key, each), value in zip(todo.items(), values, strict=True)
            }
            self._store.put("check", rows)

        def missing() -> bool:
            return len(self._store.get("check", keys)) < len(set(keys))

        if missing():
            self._loaded.lock.until(missing, work)
        if self._used is not None:
            self._used.add("check", keys)
        rows = self._store.get("check", keys)
        return [rows[key]["value"] for key in keys]
