"""One run: its settings, models, plan and rows. Registered as a plugin under `SESSION`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import Accepted, Comparison
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.engines.pair.pair import Pair
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.generation.plan import Plan
    from pytest_llmdiff.generation.rows import UsedKeys
    from pytest_llmdiff.plugin.pair_run import PairRun
    from pytest_llmdiff.plugin.workers import StopSignal, WorkerNotes
    from pytest_llmdiff.reports.kept import Kept
    from pytest_llmdiff.reports.run_facts import RunFacts
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.verdicts.accepted import Entry
    from pytest_llmdiff.verdicts.baseline import Baseline, Conditions, Limits, Noise, Role

# This module is imported at every start of pytest, so all of its parts come in on use.
SESSION = pytest.StashKey["Session"]()
RUN_ID = "llmdiff_run_id"
KEPT = pytest.StashKey["Kept"]()
PROPERTY = "llmdiff "  # what the names of a test's properties begin with


class Session:
    """The state of a run with or without models; one per process."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.specs: tuple[Spec, Spec] | None = None
        self.served: Spec | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.skipped = 0
        self.exit_code = 0
        self.note: str | None = None
        self.warnings: list[str] = []
        self.closing: list[str] = []  # last lines of the summary: what was written where
        self._divergences_expected = False
        self._item: pytest.Item | None = None
        self._kept: Kept | None = None

    # Collection and planning

    def expect(self, probes: Sequence[Probe]) -> None:
        """Take probes into the plan, in the order of their tests. Called after deselection."""
        if probes:
            self.plan.expect(probes)

    @cached_property
    def plan(self) -> Plan:
        from pytest_llmdiff.generation.plan import Plan

        return Plan(self.settings)

    def expect_divergences(self) -> None:
        """A test will ask for the divergence: it is cheaper to have along with the replies."""
        self._divergences_expected = True

    @cached_property
    def store(self) -> Store:
        from pytest_llmdiff.store import Store

        return Store(self.settings.store)

    # The models

    @cached_property
    def pair_run(self) -> PairRun:
        """Base and tuned model."""
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.plugin.pair_run import PairRun

        if self.specs is None:
            raise ConfigError("no models were given")
        base, tuned = self.specs

        def opened() -> Pair:
            from pytest_llmdiff.engines.opening import open_pair

            if self.calibrating:
                from pytest_llmdiff.engines.noise import open_noise

                return open_noise(base, self.settings, self.store)
            return open_pair(base, tuned, self.settings, self.store)

        found = PairRun(self, self.specs, opened, used=self._used)
        found.divergences_expected = self._divergences_expected
        return found

    @cached_property
    def served_run(self) -> PairRun:
        """The tuned model, in the base's place, and the same as it is served.

        Raises:
            ConfigError: no served model is given.
        """
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.plugin.pair_run import PairRun

        if self.specs is None or self.served is None:
            raise ConfigError("no served model: give --llm-served SPEC")
        (base, tuned), served = self.specs, self.served

        def opened() -> Pair:
            from pytest_llmdiff.engines.opening import open_served

            pair = self.pair_run.generation.pair
            return open_served(pair, base, served, self.settings, self.store)

        # Not among what a recording holds: that is of the base and the tuned model.
        return PairRun(
            self, (tuned, served), opened, sides=("tuned", "served"),
            lock=lambda: self.pair_run.generation.loaded.lock,
        )  # fmt: skip

    @property
    def _pairs(self) -> list[PairRun]:
        """Those that were asked for; the served one first, which leans on the other."""
        return [self.__dict__[name] for name in ("served_run", "pair_run") if name in self.__dict__]

    @cached_property
    def _used(self) -> UsedKeys | None:
        from pytest_llmdiff.generation.rows import UsedKeys

        recorded = self.settings.record is not None
        return UsedKeys(self.store, f"used {self.run_id}") if recorded else None

    @cached_property
    def stop(self) -> StopSignal:
        """How the controller of a run tells its workers that it ends here."""
        from pytest_llmdiff.plugin.workers import StopSignal

        return StopSignal(self.store, self.run_id)

    # Baselines and accepted changes

    @cached_property
    def accepted(self) -> dict[str, Entry]:
        """Accepted changes by the digest of the probe."""
        if self.calibrating or not self.settings.accepted.exists():
            return {}
        from pytest_llmdiff.verdicts.accepted import read_accepted

        return read_accepted(self.settings.accepted)

    def accepted_for(self, probe: Probe) -> Accepted | None:
        entry = self.accepted.get(probe.digest) if self.accepted else None
        return None if entry is None else entry.accepted

    @property
    def calibrating(self) -> bool:
        """Whether the base is compared with itself, and nothing is judged."""
        return self.settings.calibrate is not None

    def noise(self, measure: str, probes: str) -> Noise:
        """What the baseline has of a measure in the running test. Raises LookupError: nothing."""
        return self._limits.noise(
            "" if self._item is None else case_of(self._item), measure, probes
        )

    @cached_property
    def baseline(self) -> Baseline | None:
        """Where helpers take the limits from that they are not given."""
        if self.settings.baseline is None or self.calibrating:
            return None
        from pytest_llmdiff.verdicts.baseline import read_baseline

        return read_baseline(self.settings.baseline)

    @cached_property
    def _limits(self) -> Limits:
        from pytest_llmdiff.verdicts.baseline import Limits

        return Limits(self.baseline, self.conditions)

    def check_files(self) -> None:
        """Read what limits and expected replies come from. Raises ConfigError: it is malformed."""
        _ = self.baseline, self.accepted

    def conditions(self, role: Role = None) -> Conditions:
        """What a limit depends on besides the probes; with the scorer of a role."""
        from pytest_llmdiff.plugin.pair_run import conditions_of

        return conditions_of(self.settings, self.pair_run.generation, self.pair_run.scoring, role)

    # The running test

    def enter(self, item: pytest.Item) -> None:
        self._item = item

    def begin(self, item: pytest.Item) -> None:
        """A test begins, or begins anew: plugins that try it again do so inside one `enter`."""
        item.user_properties[:] = [
            held for held in item.user_properties if not held[0].startswith(PROPERTY)
        ]
        if self.specs is not None:
            from pytest_llmdiff.reports.kept import Kept

            self._kept = item.stash[KEPT] = Kept(
                all_values=self.calibrating, all_comparisons=self.settings.accept
            )

    def show(self, comparison: Comparison) -> None:
        """Keep what a test compared, for the reports."""
        if self._kept is None:
            return
        near = self.pair_run.trained.neighbours
        self._kept.show(
            comparison, lambda: None if near is None else near.same(comparison.probe.messages)
        )

    def explained(self, comparison: Comparison, explanation: Explanation) -> None:
        """Keep what a failure text tells of the training data."""
        if self._kept is not None:
            self._kept.explain(comparison, explanation)

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        """Keep a verdict with the running test, for the reports; of a set with its members."""
        if self._item is None or self._kept is None:
            return
        m = verdict.measurement
        listed = self._kept.judge(comparison, verdict, sample)
        if listed and math.isfinite(m.value):
            self._item.user_properties.append((f"{PROPERTY}{m.name}", m.value))

    def rerun(self) -> str:
        if self._item is None:
            return ""
        from pytest_llmdiff.reports.rerun import rerun_command

        return rerun_command(self.config, self._item, self.settings)

    @cached_property
    def rerun_options(self) -> str:
        """What the commands that run single tests again have in common."""
        from pytest_llmdiff.reports.rerun import rerun_options

        return rerun_options(self.config, self.settings)

    def leave(self) -> None:
        self._item = self._kept = None
        if any(pair.wanted() for pair in self._pairs):
            self._close()

    def _close(self) -> None:
        """Free all models, and let go of the right to hold them.

        That one cannot be closed is told at the end: no test is at fault.
        """
        from pytest_llmdiff.errors import ModelError

        for pair in self._pairs:
            try:
                pair.close()
            except ModelError as error:
                self.warnings.append(str(error))

    # The end

    def release(self) -> None:
        """Forget rows and replies; a comparison that something still holds keeps the run alive."""
        self.rows = {}
        for part in ("pair_run", "served_run", "plan"):
            self.__dict__.pop(part, None)

    def finish(self) -> None:
        """Free the models, and leave behind what the controller needs of a worker."""
        if "pair_run" not in self.__dict__:
            return
        notes, resolved = list[str](), dict[str, str]()
        for pair in reversed(self._pairs):
            if pair.opened:
                notes += pair.notes
                found = pair.generation.loaded.resolved()
                served = {f"served {key}": found[key] for key in ("dtype",) if key in found}
                resolved |= found if pair.tuning else served
        self._close()
        self.worker_notes.leave(
            notes=list(dict.fromkeys(notes)), warnings=[*self.store.warnings, *self.warnings],
            resolved=resolved,
        )  # fmt: skip
        if self._used is not None:
            self._used.flush()

    @cached_property
    def worker_notes(self) -> WorkerNotes:
        from pytest_llmdiff.plugin.workers import WorkerNotes

        return WorkerNotes(self.store, self.run_id)

    def facts(self) -> RunFacts:
        from pytest_llmdiff.reports.run_facts import RunFacts
        from pytest_llmdiff.verdicts.multiple_testing import adjust, chance_of

        adjust(self.rows.values())
        said = self._notes_of_workers()
        own = [*self.store.warnings, *self.warnings] if self.rows else []
        return RunFacts(
            settings=self.settings,
            rows=self.rows,
            resolved={} if said is None else said.resolved,
            notes=[] if said is None else said.notes,
            warnings=list(dict.fromkeys([*own, *(() if said is None else said.warnings)])),
            skipped=self.skipped,
            chance=chance_of(self.rows.values()),
            options=self.rerun_options,
            exit_code=self.exit_code,
        )

    def _notes_of_workers(self) -> WorkerNotes | None:
        """What the processes of the run left for the reports, if there is anything to report."""
        from pytest_llmdiff.errors import StoreError

        if not self.rows or self.specs is None:
            return None
        try:
            _ = self.worker_notes.notes
        except StoreError as error:  # whose tests have failed of it; the others have a report still
            self.warnings.append(str(error))
            return None
        return self.worker_notes

    @cached_property
    def run_id(self) -> str:
        """The same in every process of a run: workers get it from their controller."""
        import uuid

        return str(getattr(self.config, "workerinput", {}).get(RUN_ID) or uuid.uuid4().hex)


def case_of(item: pytest.Item) -> str:
    """A test's id without the parameters: what its cases have in common."""
    name = getattr(item, "originalname", None) or item.name
    return item.nodeid if item.parent is None else f"{item.parent.nodeid}::{name}"
