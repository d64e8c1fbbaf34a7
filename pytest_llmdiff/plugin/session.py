"""One process of a run: its settings, models, plan and rows. In pytest's stash under `SESSION`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import Accepted, Comparison
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.errors import LLMDiffError
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.generation.plan import Plan
    from pytest_llmdiff.generation.rows import UsedKeys
    from pytest_llmdiff.generation.windows import Progress
    from pytest_llmdiff.plugin.allowed import AllowedChanges
    from pytest_llmdiff.plugin.pair_run import PairRun
    from pytest_llmdiff.plugin.preparation.several import TunedModel
    from pytest_llmdiff.plugin.running_test import RunningTest
    from pytest_llmdiff.plugin.timer import Timer
    from pytest_llmdiff.plugin.workers import StopSignal, WorkerNeeds, WorkerNotes
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.verdicts.baseline import Noise

# This module is imported at every start of pytest, so all of its parts are imported on first use.
SESSION = pytest.StashKey["Session"]()
CONTROLLER = "llmdiff-controller"  # what collects the reports of a run, as a plugin of pytest
RUN_ID = "llmdiff_run_id"
TUNED = "_llmdiff_tuned"  # the fixture whose parameter names one of several tuned models


class Session:
    """The state of a run, with or without models; one per process."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._settings: Settings | None = None  # read on first use
        self.specs: tuple[Spec, Spec] | None = None
        self.models: tuple[TunedModel, ...] = ()  # where several tuned ones are given
        self.served: Spec | None = None
        self.unusable: LLMDiffError | None = None  # why the models that are given cannot be had
        self.test: RunningTest | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.skipped = 0
        self.started = time.time()
        self.exit_code = 0
        self.stopped = False  # before all selected tests had run
        self.notes: list[str] = []  # more lines of the header
        self.left_out: list[str] = []  # which tests of suites, and why
        self.warnings: list[str] = []
        self.failed_besides: list[str] = []  # tests without models
        self.uncollected: list[str] = []  # files that could not be collected
        self.unwritten: set[str] = set()  # outputs
        self.uncalibrated = False  # whether a test is lost to the baseline that the run wrote
        self.closing: list[str] = []  # last lines of the summary: what was written where
        self.told: dict[int, str] = {}  # the first test of each error, by its hash
        self.divergences_expected = False
        self._plans: dict[str | None, Plan] = {}
        self._ran: list[str] = []  # notes on models that were run
        self._resolved: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        """Those of the run; of several tuned models, those of the one in use."""
        if self._settings is None:
            from pytest_llmdiff.config.settings import read_settings

            self._settings = read_settings(self.config)
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def run_id(self) -> str:
        """The same in every process of a run: workers get it from their controller."""
        import uuid

        return str(getattr(self.config, "workerinput", {}).get(RUN_ID) or uuid.uuid4().hex)

    @property
    def worker(self) -> bool:
        """Whether this is a worker of xdist."""
        return hasattr(self.config, "workerinput")

    @property
    def progress(self) -> Progress:
        from pytest_llmdiff.plugin.progress import progress_for

        return progress_for(self.config)

    @property
    def has_models(self) -> bool:
        """Whether models are given, though they may be unusable."""
        return self.specs is not None or self.unusable is not None

    # Collection and planning

    def expect(self, probes: Sequence[Probe]) -> None:
        """Take probes into the plan, in the order of their tests. Called after deselection."""
        if probes:
            self.plan.expect(probes)

    @property
    def plan(self) -> Plan:
        """What is planned for the tuned model in use."""
        from pytest_llmdiff.generation.plan import Plan

        tuned = self.settings.tuned
        if tuned not in self._plans:
            self._plans[tuned] = Plan(self.settings)
        return self._plans[tuned]

    def expect_divergences(self) -> None:
        """Compute divergences along with the replies, which is cheaper than later."""
        self.divergences_expected = True

    @cached_property
    def allowed(self) -> AllowedChanges:
        from pytest_llmdiff.plugin.allowed import AllowedChanges, conditions_of

        return AllowedChanges(self.settings, lambda role: conditions_of(self.pair_run, role))

    # What the processes of a run share

    @cached_property
    def store(self) -> Store:
        from pytest_llmdiff.store import Store

        return Store(self.settings.store)

    @cached_property
    def stop(self) -> StopSignal:
        """How the controller of a run makes its workers stop early."""
        from pytest_llmdiff.plugin.workers import StopSignal

        return StopSignal(self.store, self.run_id)

    @cached_property
    def timer(self) -> Timer:
        from pytest_llmdiff.plugin.timer import Timer

        return Timer()

    @cached_property
    def worker_needs(self) -> WorkerNeeds:
        from pytest_llmdiff.plugin.workers import WorkerNeeds

        return WorkerNeeds(self.store, self.run_id)

    @cached_property
    def worker_notes(self) -> WorkerNotes:
        from pytest_llmdiff.plugin.workers import WorkerNotes

        return WorkerNotes(self.store, self.run_id)

    @cached_property
    def used(self) -> UsedKeys | None:
        from pytest_llmdiff.generation.rows import UsedKeys

        recorded = self.settings.record is not None
        return UsedKeys(self.store, f"used {self.run_id}") if recorded else None

    # The models

    def use(self, model: TunedModel) -> None:
        """From now on, `pair_run` is that of another of several tuned models. The one before is
        closed for good, so that only one is in memory, and its comparisons measure nothing more.
        Its base stays in memory if both are adapters."""
        if self.settings is model.settings:
            return
        self._keep_notes()
        before = self.__dict__.pop("pair_run", None)
        self.settings, self.specs = model.settings, model.specs
        if before is not None:
            from pytest_llmdiff.plugin.session_pairs import follow

            self._close_with(lambda: follow(self, before))

    def model_of(self, item: pytest.Item) -> TunedModel | None:
        """The one of several tuned models that a test is of; None where there are not several."""
        if not self.models:
            return None
        name = getattr(getattr(item, "callspec", None), "params", {}).get(TUNED)
        return next((model for model in self.models if model.name == name), None)

    @cached_property
    def pair_run(self) -> PairRun:
        """The base and the tuned model."""
        from pytest_llmdiff.plugin.session_pairs import tuned_pair

        return tuned_pair(self)

    @cached_property
    def served_run(self) -> PairRun:
        """The tuned model, in the base's place, and the served one.

        Raises:
            ConfigError: no served model is given.
        """
        from pytest_llmdiff.plugin.session_pairs import served_pair

        return served_pair(self)

    @property
    def _pairs(self) -> list[PairRun]:
        """The pairs in use; the served one first, since it uses models of the other."""
        return [self.__dict__[name] for name in ("served_run", "pair_run") if name in self.__dict__]

    # The running test, and what its comparisons need

    def begin(self, item: pytest.Item) -> None:
        """A test begins, or is tried again."""
        if (model := self.model_of(item)) is not None:
            self.use(model)
        if self.specs is not None:
            from pytest_llmdiff.plugin.running_test import RunningTest

            self.test = RunningTest(item, self.settings)

    def leave(self) -> None:
        """A test has ended: give the models up if another process waits for them."""
        self.test = None
        if any(pair.loaded is not None and pair.loaded.wanted() for pair in self._pairs):
            self._close()

    def accepted_for(self, probe: Probe) -> Accepted | None:
        return self.allowed.accepted_for(probe)

    def noise(self, measure: str, probes: str) -> Noise:
        """The baseline's noise of a measure in the running test. Raises LookupError: none."""
        return self.allowed.noise("" if self.test is None else self.test.case, measure, probes)

    def show(self, comparison: Comparison) -> None:
        if self.test is not None:
            self.test.show(comparison, self.pair_run.trained.neighbours)

    def explained(self, comparison: Comparison, explanation: Explanation) -> None:
        if self.test is not None:
            self.test.explained(comparison, explanation)

    def attributed(self, comparison: Comparison, found: Attribution) -> None:
        if self.test is not None:
            self.test.kept.attribute(comparison, found)

    def explored(self, found: dict[str, Any]) -> None:
        if self.test is not None:
            self.test.kept.explore(found)

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        if self.test is not None:
            self.test.record(comparison, verdict, sample)

    def rerun(self) -> str:
        if self.test is None:
            return ""
        return f"pytest {self.rerun_target(self.test.item)} {self.rerun_options}"

    def rerun_target(self, item: pytest.Item) -> str:
        """What runs one test again, followed by `rerun_options`."""
        from pytest_llmdiff.reports.rerun import rerun_target

        model = self.model_of(item)
        alone = None if model is None else (model.name, str(model.settings.tuned))
        return rerun_target(self.config, item, alone)

    @cached_property
    def rerun_options(self) -> str:
        """What the commands that run single tests again have in common."""
        from pytest_llmdiff.reports.rerun import rerun_options

        return rerun_options(self.config, self.settings)

    # The end

    def _close(self) -> None:
        """Free all models, and release the right to hold them.

        An error goes to the warnings: no test is at fault.
        """
        for pair in self._pairs:
            if pair.loaded is not None:
                self._close_with(pair.loaded.close)

    def _close_with(self, close: Callable[[], None]) -> None:
        from pytest_llmdiff.errors import ModelError

        try:
            close()
        except ModelError as error:
            self.warnings.append(str(error))

    def _keep_notes(self) -> None:
        """Keep what the reports say about how the models were run."""
        for pair in reversed(self._pairs):
            if pair.loaded is not None and pair.loaded.opened:
                self._ran += pair.notes
                found = pair.loaded.resolved()
                served = {f"served {key}": found[key] for key in ("dtype",) if key in found}
                self._resolved |= found if pair.tuning else served

    def finish(self) -> None:
        """Free the models, and leave in the store what the controller needs from this process."""
        self._keep_notes()
        if "pair_run" not in self.__dict__ and not self._ran and not self._resolved:
            return
        self._close()
        self.worker_notes.leave(
            notes=list(dict.fromkeys([*self.left_out, *self._ran])),
            warnings=[*self.store.warnings, *self.warnings], resolved=self._resolved,
        )  # fmt: skip
        if self.used is not None:
            self.used.flush()

    def release(self) -> None:
        """Close the store, so that all its rows are in one file, and forget rows and replies: a
        comparison that something still holds keeps the run alive."""
        if "store" in self.__dict__:
            self.store.close()
        self.rows = {}
        self._plans.clear()
        for part in ("pair_run", "served_run"):
            self.__dict__.pop(part, None)
