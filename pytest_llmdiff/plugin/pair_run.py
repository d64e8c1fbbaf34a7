"""Two models side by side: what answers, compares, scores and explains for one pair of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.data.comparison import SIDES
from pytest_llmdiff.generation.generator import ReplyGenerator

if TYPE_CHECKING:
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import Accepted, Comparison, Unanswered
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.engines.pair.pair import Pair
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.explainer import Explainer
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.known import KnownTraining
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.loaded import HandedOver, LoadedModels
    from pytest_llmdiff.generation.locks import ModelLock
    from pytest_llmdiff.generation.plan import Plan
    from pytest_llmdiff.generation.rows import UsedKeys
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.generation.windows import Progress
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.verdicts.baseline import Noise


class Stop(Protocol):
    """Whether the run is to end early."""

    def check(self) -> None:
        """Called repeatedly; raises what ends the work."""


class RunContext(Protocol):
    """What a pair of models needs from what it belongs to: a session of pytest, or none."""

    settings: Settings

    @property
    def worker(self) -> bool: ...
    @property
    def progress(self) -> Progress: ...
    @property
    def store(self) -> Store: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def stop(self) -> Stop: ...
    def accepted_for(self, probe: Probe) -> Accepted | None: ...
    def noise(self, measure: str, probes: str) -> Noise: ...
    def show(self, comparison: Comparison) -> None: ...
    def explained(self, comparison: Comparison, explanation: Explanation) -> None: ...
    def attributed(self, comparison: Comparison, found: Attribution) -> None: ...
    def explored(self, found: dict[str, Any]) -> None: ...
    def record(self, comparison: Any, verdict: Any, sample: Any | None = None) -> None: ...
    def rerun(self) -> str: ...


class PairRun:
    """The run that comparisons and the model fixtures know as theirs.

    It holds the parts, each made on first use; measures and explanations use the parts directly.
    The pair is the base and the tuned model; for parity it is the tuned model, in the base's
    place, and the served one.
    """

    def __init__(
        self,
        context: RunContext,
        specs: tuple[Spec, Spec],
        open_pair: Callable[[], Pair],
        *,
        sides: tuple[str, str] = SIDES,
        divergences_expected: bool = False,
        used: UsedKeys | None = None,
        lock: Callable[[], ModelLock] | None = None,
        untimed: Callable[[], AbstractContextManager[None]] = nullcontext,
        handed: HandedOver | None = None,
    ) -> None:
        self.sides = sides
        self.settings = context.settings
        self.store = context.store
        self.plan = context.plan
        self._context = context
        self.specs = specs
        self._open_pair = open_pair
        self._divergences_expected = divergences_expected
        self._used = used
        self._lock = lock
        self._untimed = untimed
        self._handed = handed
        self._closed = False

    @property
    def tuning(self) -> bool:
        """Whether this pair is the base and the tuned model, not the tuned and the served one."""
        return self.sides == SIDES

    # The parts

    @cached_property
    def generation(self) -> ReplyGenerator:
        from pytest_llmdiff.generation.plan import cut_windows, growing

        self.require_open()
        sizes = partial(growing, largest_window(self.specs, self.settings))
        generation = ReplyGenerator(
            self._open_pair,
            self.store,
            cut_windows(self.plan.planned if self.tuning else (), sizes()),
            sizes=sizes,
            eager=self._context.worker,
            progress=self._context.progress,
            used=self._used,
            lock=self._lock,
            check=self._context.stop.check,
            untimed=self._untimed,
            handed=self._handed,
        )
        generation.windows.divergences_expected = self._divergences_expected
        return generation

    @property
    def loaded(self) -> LoadedModels | None:
        """The models in memory; None if nothing has asked for any."""
        if self._closed or ("generation" not in self.__dict__ and self._handed is None):
            return None
        return self.generation.loaded

    @cached_property
    def comparer(self) -> Comparer:
        from pytest_llmdiff.generation.comparisons import Comparer

        return Comparer(
            self,
            self.plan,
            self.generation,
            sides=self.sides,
            accepted=self._context.accepted_for if self.tuning else lambda _: None,
            show=self._context.show,
        )

    @cached_property
    def scoring(self) -> Scoring:
        from pytest_llmdiff.generation.scoring import Scoring

        self.require_open()
        return Scoring(self.settings, self.store, self.generation, self._used)

    @cached_property
    def trained(self) -> KnownTraining:
        from pytest_llmdiff.explain.training.known import KnownTraining

        return KnownTraining(
            self.settings, self.specs, lambda: self.scoring, lambda: self._context.progress
        )

    @cached_property
    def explainer(self) -> Explainer:
        from pytest_llmdiff.explain.explainer import Explainer

        near = self.trained.neighbours if self.tuning else None
        learnt = partial(self.trained.learnt, self.store) if self.tuning else None
        return Explainer(self.settings, self.generation, near, learnt)

    @property
    def notes(self) -> list[str]:
        """What the reports say about how the models were run."""
        explained = self.explainer.notes() if "explainer" in self.__dict__ else ()
        return [*self.generation.windows.notes, *self.generation.pair.notes, *explained]

    def close(self) -> None:
        """Free the models for good: whatever needs one of them afterwards raises a ConfigError."""
        try:
            if self.loaded is not None:
                self.loaded.close()
        finally:
            self._forget()

    def hand_over(self) -> HandedOver | None:
        """As `close`, but the base stays in memory where the next pair can take it."""
        try:
            return None if self.loaded is None else self.loaded.hand_over()
        finally:
            self._forget()

    def _forget(self) -> None:
        self._closed, self._handed = True, None
        for part in ("generation", "comparer", "scoring", "trained", "explainer"):
            self.__dict__.pop(part, None)

    def require_open(self) -> None:
        if self._closed:
            from pytest_llmdiff.errors import ConfigError

            raise ConfigError("the pair of models is closed: measure its comparisons before that")

    # What comparisons need from their run

    def compare_set(self, probes: Sequence[Probe]) -> Iterator[Comparison]:
        return self.comparer.compare_set(probes)

    def members(self, probes: Sequence[Probe]) -> Iterator[Comparison | Unanswered]:
        return self.comparer.members(probes)

    def noise(self, measure: str, probes: str) -> Noise:
        if not self.tuning:
            raise LookupError("a baseline has limits for the base and the tuned model only")
        return self._context.noise(measure, probes)

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        self._context.record(comparison, verdict, sample)

    def rerun(self) -> str:
        return self._context.rerun()

    def attributed(self, comparison: Comparison, found: Attribution) -> None:
        self._context.attributed(comparison, found)

    def explored(self, found: dict[str, Any]) -> None:
        self._context.explored(found)

    def explain(self, comparison: Comparison, *, briefly: bool = False) -> Explanation:
        """What a failure text shows beyond the comparison. The reports keep it as well. `briefly`
        is for the members of a set after its worst one."""
        from pytest_llmdiff.explain.explanation import Explanation

        if comparison.given is not None or self.settings.explain == "none":
            return Explanation(rerun=self.rerun())
        found = self.explainer.explain(
            comparison, self.comparer.request(comparison), briefly=briefly
        )
        explanation = replace(found, rerun=self.rerun())
        self._context.explained(comparison, explanation)
        return explanation


def largest_window(specs: Sequence[Spec], settings: Settings) -> int:
    """The largest number of prompts worth asking together: more where a server answers."""
    from pytest_llmdiff.generation.plan import LARGEST

    if all(spec.kind != "server" for spec in specs):
        return LARGEST
    from pytest_llmdiff.engines.server.endpoint import IN_FLIGHT, ROUNDS

    return max(LARGEST, ROUNDS * (settings.batch_size or IN_FLIGHT))
