"""A pair of tiny models whose words are attributed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_llmdiff.data.comparison import Comparison, InputsOf, Reply, Score, Side
from pytest_llmdiff.data.probes import Probe
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.plugin.progress import Silent
from pytest_llmdiff.store import Store
from tests.support.engines import folder as folder
from tests.support.engines import pair


class Lab:
    """A run with two tiny models, that scores and answers nothing."""

    def __init__(self, folder: Path, store: Path, tuned: str = "adapter") -> None:
        self.pair = pair(folder, "base", tuned, store)
        self.generation = ReplyGenerator(
            lambda: self.pair, Store(store / "kept"), [], eager=False, progress=Silent()
        )

    def reply(self, side: Side, probes: Sequence[Probe]) -> list[Reply]:
        raise NotImplementedError

    def scores(
        self, role: str, comparisons: Sequence[Comparison], inputs_of: InputsOf, spec: object | None
    ) -> list[Score]:
        raise NotImplementedError
