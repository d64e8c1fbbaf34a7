"""What comparisons are explained with: each kind of explanation for so many of a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.explain.attention.views import attention_shown
from pytest_llmdiff.explain.attribution.attribution import AttributionRun, attribution
from pytest_llmdiff.explain.attribution.values import Attribution, Terms
from pytest_llmdiff.explain.carriers import carriers
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.tokens import token_view
from pytest_llmdiff.explain.training.influence import influences
from pytest_llmdiff.generation.generator import ReplyGenerator

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergences
    from pytest_llmdiff.explain.attention.values import AttentionShown
    from pytest_llmdiff.explain.carriers import Carriers
    from pytest_llmdiff.explain.training.influence import Learnt
    from pytest_llmdiff.explain.training.neighbours import Neighbours
    from pytest_llmdiff.explain.training.values import Influences

T = TypeVar("T")
TOLD = 1.0  # seconds of explaining from which on the summary tells of them


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An explanation that costs passes of the models: how a failure is said to be shown by it, and
    how many failures of a process are, unless all shall be."""

    name: str
    most: int


TOKENS = Kind(name="token by token", most=50)
ATTENTION = Kind(name="with their attention", most=20)
WORDS = Kind(name="word by word", most=5)
WORD_TERMS = Terms(most_words=40)  # a pass of either model for each
INFLUENCES = Kind(name="by training examples", most=5)
CARRIERS = Kind(name="by layers", most=1)
NEAREST = 24  # training examples whose gradients are taken for a failure


class Explainer:
    """Explains comparisons of one pair of models, and knows what that has cost."""

    def __init__(
        self,
        settings: Settings,
        generation: ReplyGenerator,
        neighbours: Neighbours | None,
        learnt: Callable[[], Learnt] | None,
    ) -> None:
        self._settings = settings
        self._generation = generation
        self._neighbours = neighbours
        self._learnt = learnt  # None where the second model is not the first one, tuned
        self._shown: dict[Kind, int] = {}
        self._left: set[Kind] = set()
        self._seconds: dict[Kind, float] = {}

    def explain(self, comparison: Comparison, request: Request) -> Explanation:
        """All that can be had of it; what a model cannot tell is left out."""
        explanation = Explanation()
        if self._neighbours is not None:
            explanation = self._neighbours.explain(comparison.probe.messages)
        return replace(
            explanation,
            divergences=self._divergences(request),
            tokens=self._bounded(TOKENS, lambda: token_view(self._generation, comparison)),
            attention=self._bounded(ATTENTION, lambda: self._attention(comparison)),
            words=self._bounded(WORDS, lambda: self._words(comparison)),
            influences=self._bounded(INFLUENCES, lambda: self._influences(comparison)),
            carriers=self._bounded(CARRIERS, lambda: self._carriers(comparison)),
        )

    def _influences(self, comparison: Comparison) -> Influences | None:
        if self._learnt is None:
            return None
        return influences(
            self._generation, comparison, self._learnt,
            reply="tuned", examples=NEAREST, at="start",
        )  # fmt: skip

    def _carriers(self, comparison: Comparison) -> Carriers | None:
        return None if self._learnt is None else carriers(self._generation, [comparison])

    def notes(self) -> Iterator[str]:
        """What was left out for its cost, and what the others took."""
        if bounded := [kind for kind in self._shown if kind in self._left]:
            counts = ", ".join(f"{kind.most} {kind.name}" for kind in bounded)
            yield f"only so many failures are explained: {counts}; --llmdiff-explain=all has all"
        took = sum(self._seconds.values())
        if took >= TOLD:
            shown = [(kind, self._seconds[kind]) for kind in self._shown]
            each = ", ".join(f"{kind.name} {seconds:.0f} s" for kind, seconds in shown)
            yield f"explaining took {took:.0f} s ({each}); --llmdiff-explain=none leaves it out"

    def _divergences(self, request: Request) -> TokenDivergences | None:
        try:
            (found,) = self._generation.divergences([request], eager=False)
        except LLMDiffError:
            return None
        return None if found.unsupported else found

    def _attention(self, comparison: Comparison) -> AttentionShown | None:
        return None if self._reloading else attention_shown(self._generation, comparison)

    @property
    def _reloading(self) -> bool:
        """Whether models that take turns in memory would be loaded anew for each failure: they are
        asked so only where all is to be explained."""
        return not self._generation.pair.fits and self._settings.explain == "failed"

    def _words(self, comparison: Comparison) -> Attribution | None:
        """What the words of the prompt count for."""
        if comparison.run is None or self._reloading:
            return None
        return attribution(cast("AttributionRun", comparison.run), comparison, WORD_TERMS)

    def _bounded(self, kind: Kind, make: Callable[[], T | None]) -> T | None:
        """What is made, of so many as the run explains in that way and the models can tell."""
        if self._settings.explain == "failed" and self._shown.get(kind, 0) >= kind.most:
            self._left.add(kind)
            return None
        started = time.monotonic()
        try:
            found = make()
        except (LLMDiffError, RuntimeError):
            # RuntimeError: torch's, from a model's own code. The failure that is being explained
            # must not be lost over it.
            found = None
        finally:
            took = time.monotonic() - started
            self._seconds[kind] = self._seconds.get(kind, 0.0) + took
        if found is not None:
            self._shown[kind] = self._shown.get(kind, 0) + 1
        return found
