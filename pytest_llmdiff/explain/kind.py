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
class Kind(Generic[T]):
    """One kind of explanation.

    `title` names it in the notes of a run, and `tab` is where the HTML page shows it. `most` is how
    many failures of a process it explains unless `--llmdiff-explain=all`; None for one that costs
    no pass of a model. `of_training` marks what explains the training rather than the two models.

    `compute` returns None where there is nothing to show; it may raise LLMDiffError. `lines` are
    those of the failure text, fewer with `short`, for one of several members of a set. `row` has
    its keys of the comparison in the JSON report, and `page` turns that comparison into blocks of
    the HTML page.
    """

    title: str
    tab: Tab
    most: int | None
    of_training: bool = False
    compute: Callable[[Sources, Comparison], T | None]
    lines: Callable[[T, Comparison, bool], Sequence[str]]
    row: Callable[[T], Mapping[str, Any]]
    page: Callable[[Mapping[str, Any]], Iterable[Block]]
