"""A pair of tiny models whose words are attributed."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdiff.generation.comparisons import Comparer
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.scoring import Scoring
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

    @property
    def comparer(self) -> Comparer:
        raise NotImplementedError

    @property
    def scoring(self) -> Scoring:
        raise NotImplementedError
