"""Explains comparisons by every kind in the table, each for a limited number of failures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.comparison import Comparison
from pytest_llmdiff.data.requests import Request
from pytest_llmdiff.data.text.differences import first_difference
from pytest_llmdiff.errors import CapabilityError, LLMDiffError
from pytest_llmdiff.explain import load_kinds
from pytest_llmdiff.explain.explanation import Explanation
from pytest_llmdiff.explain.kind import Budget, Kind, Sources
from pytest_llmdiff.generation.generator import ReplyGenerator

if TYPE_CHECKING:
    from pytest_llmdiff.data.tokens import TokenDivergence, TokenDivergences
    from pytest_llmdiff.explain.training.examples import TrainingExamples
    from pytest_llmdiff.explain.training.neighbours import Neighbours

# Failures that are tried in a row before an engine is taken to have no means for a kind. Of a
# recording, the first ones say whether it was made with that kind.
TRIES = 20
# Failures whose divergence is computed only to tell how sure both models were.
DIFFERENCES = Budget(least=5, per=10, most=50)
NOTED = 1.0  # seconds from which the summary says how long explaining took


class Explainer:
    """Explains comparisons of one pair of models, and keeps count of the cost."""

    def __init__(
        self,
        settings: Settings,
        generation: ReplyGenerator,
        neighbours: Neighbours | None,
        examples: Callable[[], TrainingExamples] | None,
    ) -> None:
        self._all = settings.explain == "all"
        self._generation = generation
        self._sources = Sources(
            generation=generation, neighbours=neighbours, examples=examples, every=self._all
        )
        self._explained: dict[str, int] = {}  # failures by kind
        self._seconds: dict[str, float] = {}
        self._over_budget: set[str] = set()
        self._refused: dict[str, int] = {}  # by kind, since one was explained
        self._differing = 0  # failures, towards DIFFERENCES

    def explain(
        self, comparison: Comparison, request: Request, *, briefly: bool = False
    ) -> Explanation:
        """Every explanation that the models support and the budget allows, or only the `brief`
        kinds."""
        values = {
            name: self._value(name, comparison)
            for name, kind in self._kinds.items()
            if kind.brief or self._all or not briefly
        }
        found = {name: value for name, value in values.items() if value is not None}
        return Explanation(differs=self._differs(comparison, request, found), kinds=found)

    def notes(self) -> Iterator[str]:
        """Which kinds stopped at their budget, and how long explaining took."""
        kinds = {name: self._kinds[name] for name in self._explained}
        if bounded := [kind for name, kind in kinds.items() if name in self._over_budget]:
            counts = ", ".join(f"{self._allowed(kind.budget)} {kind.title}" for kind in bounded)
            yield f"explanations are limited to {counts}; --llmdiff-explain=all has no limit"
        took = sum(self._seconds.values())
        if took >= NOTED:
            each = ", ".join(f"{k.title} {self._seconds[name]:.0f} s" for name, k in kinds.items())
            yield f"explaining took {took:.0f} s ({each}); --llmdiff-explain=none skips it"

    @cached_property
    def _kinds(self) -> dict[str, Kind[Any]]:
        return load_kinds()

    def _differs(
        self, comparison: Comparison, request: Request, found: Mapping[str, Any]
    ) -> TokenDivergence | None:
        """How sure both models were of the base's token where the replies begin to differ."""
        at = first_difference(comparison.base.token_ids, comparison.tuned.token_ids)
        if at is None:
            return None
        # A view of both replies has it already.
        known = next((d for v in found.values() if (d := getattr(v, "differs", None))), None)
        if known is not None:
            return cast("TokenDivergence", known)
        try:
            divergences = self._divergences(request)
        except LLMDiffError:
            return None
        if divergences is None or at >= len(divergences.tokens):
            return None
        return divergences.tokens[at]

    def _divergences(self, request: Request) -> TokenDivergences | None:
        """What a test has measured, or else what is computed for this failure alone; None if that
        would load the models again, or the budget allows no more."""
        stored = self._generation.stored_divergence(request)
        if stored is not None or self._sources.reloads:
            return stored
        if self._differing >= self._allowed(DIFFERENCES):
            return None
        self._differing += 1
        if self._generation.pair.fits:
            return self._generation.divergence_alone(request)
        # Every failure is explained: loading both models for each would take longer.
        (divergences,) = self._generation.divergences([request])
        return divergences

    def _allowed(self, budget: Budget | None) -> float:
        if self._all or budget is None:
            return math.inf
        return budget.allows(self._generation.planned)

    def _value(self, name: str, comparison: Comparison) -> Any:
        kind = self._kinds[name]
        if kind.budget is None:
            return kind.compute(self._sources, comparison)
        if self._explained.get(name, 0) >= self._allowed(kind.budget):
            self._over_budget.add(name)
            return None
        if not self._all and self._refused.get(name, 0) >= TRIES:
            return None
        started = time.monotonic()
        try:
            value = kind.compute(self._sources, comparison)
        except CapabilityError:
            self._refused[name] = self._refused.get(name, 0) + 1
            value = None
        except (LLMDiffError, RuntimeError):
            # RuntimeError: torch raises it from a model's own code. The failure that is being
            # explained must not be lost over it.
            value = None
        finally:
            took = time.monotonic() - started
            self._seconds[name] = self._seconds.get(name, 0.0) + took
        if value is not None:
            self._explained[name] = self._explained.get(name, 0) + 1
            self._refused[name] = 0
        return value
