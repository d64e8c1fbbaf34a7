"""What an exploration works with, and how it is asked for. The search is imported when it begins:
every test with a pair of models loads this module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.errors import ConfigError
from pytest_llmdiff.measures.wiring import models
from pytest_llmdiff.measures.wiring.models import WiringRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import Comparison, Unanswered
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.explore.values import Exploration
    from pytest_llmdiff.generation.scoring import Scoring
    from pytest_llmdiff.store import Store

BUDGET, LEAST_BUDGET = 500, 40


class ExploreRun(WiringRun, Protocol):
    """A run whose parts an exploration works with."""

    @property
    def store(self) -> Store: ...
    @property
    def scoring(self) -> Scoring: ...
    @property
    def specs(self) -> tuple[Spec, Spec]: ...
    @property
    def members(self) -> Callable[[Sequence[Probe]], Iterator[Comparison | Unanswered]]: ...
    def explored(self, found: dict[str, Any]) -> None: ...


class ModelPair(models.ModelPair):
    """Both models, which can also be searched for what nobody asked about."""

    run: ExploreRun

    def explore(
        self,
        *,
        budget: int = BUDGET,
        minutes: float | None = None,
        prompts: str | Path | None = None,
        seed: int = 0,
        accept: Sequence[str] = (),
        progress: Callable[[int], object] = lambda _: None,
    ) -> Exploration:
        """Look for what tuning changed, on which prompts and in what way; see docs/explore.md.

        Args:
            budget: the number of prompts that both models are asked, at least 40.
            minutes: no further prompts are tried after so long, however many are left.
            prompts: a file of your own prompts: a probe file, or text with one in each line.
            seed: the same seed, models and budget give the same result, unless time runs out.
            accept: names of themes that are wanted.
            progress: is called with the number of prompts that were tried, again and again.

        Raises:
            ConfigError: the budget is too small, the file cannot be read, or no theme has such a
                name.
        """
        if type(budget) is not int or budget < LEAST_BUDGET:
            raise ConfigError(f"budget: got {budget!r}; it is a whole number from {LEAST_BUDGET}")
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"minutes: got {minutes!r}; it is a number above 0")
        from pytest_llmdiff.explore.search import Search

        log = None if prompts is None else Path(prompts)
        search = Search(self.run, seed=seed, log=log, minutes=minutes, progress=progress)
        found = search.explored(budget, accept)
        self.run.explored(found.as_json())  # for the reports
        return found
