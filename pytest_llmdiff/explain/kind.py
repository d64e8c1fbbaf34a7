"""What a kind of explanation declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pytest_llmdiff.explain.blocks import Block

if TYPE_CHECKING:
    from pytest_llmdiff.data.comparison import Comparison
    from pytest_llmdiff.explain.training.examples import TrainingExamples
    from pytest_llmdiff.explain.training.neighbours import Neighbours
    from pytest_llmdiff.generation.generator import ReplyGenerator

T = TypeVar("T")
Tab = Literal["replies", "tokens", "attention", "words", "origin"]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What explanations are computed from.

    `neighbours` is None where no training data is known, and `examples` where the second model is
    not the tuned form of the first. `every` failure is explained, whatever it costs, or only some.
    """

    generation: ReplyGenerator
    neighbours: Neighbours | None
    examples: Callable[[], TrainingExamples] | None
    every: bool

    @property
    def reloads(self) -> bool:
        """Whether the two models take turns in memory, so that asking both would load them again
        for each failure. Only explaining `every` failure is worth that."""
        return not self.every and not self.generation.pair.fits


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How many failures of a process a kind explains, unless `--llmdiff-explain=all`: one for every
    `per` prompts of the run, so that explaining costs only a part of what answering them does; but
    at least `least`, and never more than `most`."""

    least: int
    per: int
    most: int

    def allows(self, planned: int) -> int:
        return min(self.most, max(self.least, planned // self.per))


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T]):
    """One kind of explanation.

    `title` names it in the notes of a run, and `tab` is where the HTML page shows it. `budget` is
    None for one that costs no pass of a model. `brief` kinds explain the three worst members of a
    failing set, the others only the worst one. `of_training` marks what explains the training
    rather than the two models.

    `compute` returns None where there is nothing to show; it may raise LLMDiffError. `lines` says
    it in a few lines, of which a failure's text has room for the first. `row` has its keys of the
    comparison in the JSON report, and `page` turns that comparison into blocks of the HTML page.
    """

    title: str
    tab: Tab
    budget: Budget | None
    brief: bool = False
    of_training: bool = False
    compute: Callable[[Sources, Comparison], T | None]
    lines: Callable[[T, Comparison], Sequence[str]]
    row: Callable[[T], Mapping[str, Any]]
    page: Callable[[Mapping[str, Any]], Iterable[Block]]
