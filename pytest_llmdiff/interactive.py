"""The pair of models outside pytest: in a script or a notebook, without a session or a hook."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pytest_llmdiff.errors import LLMDiffError
from pytest_llmdiff.explore.run import ModelPair

if TYPE_CHECKING:
    import os

    from pytest_llmdiff.config.settings import Settings
    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import Accepted, Comparison
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.engines.pair.pair import Pair
    from pytest_llmdiff.explain.attribution.values import Attribution
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.generation.locks import ModelLock
    from pytest_llmdiff.generation.plan import Plan
    from pytest_llmdiff.generation.windows import Progress
    from pytest_llmdiff.plugin.allowed import AllowedChanges
    from pytest_llmdiff.plugin.pair_run import PairRun
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.verdicts.baseline import Noise


class OpenedPair(ModelPair):
    """Both models, as the fixture `llm_pair` gives them, until `close` or the end of the `with`.

    `notes` says where the models were found, and how they ran.
    """

    def __init__(self, used: Interactive) -> None:
        super().__init__(used.pair_run)
        self._used = used

    def __repr__(self) -> str:
        return f"<llm_pair: base {self.run.settings.base}, tuned {self.run.settings.tuned}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def notes(self) -> tuple[str, ...]:
        loaded = self._used.pair_run.loaded
        ran = loaded is not None and loaded.opened
        return (*self._used.notes, *(self._used.pair_run.notes if ran else ()))

    def close(self) -> None:
        """Free the models and close the store. What needs them afterwards raises a ConfigError."""
        self._used.close()


def open_pair(
    *,
    base: str | os.PathLike[str] | None = None,
    tuned: str | os.PathLike[str],
    **options: object,
) -> OpenedPair:
    """Both models, for scripts and notebooks: what the fixture `llm_pair` gives in a test.

    `base` and `tuned` are SPECs as on the command line; an adapter alone names its base. Each
    option of the command line that says how models answer and are scored is a keyword here:
    `max_new_tokens=64` for `--llmdiff-max-new-tokens=64`, `toxicity="profanity-check"`,
    `store=…`, `template=…`. Relative paths start at the current folder. Nothing is loaded before
    it is needed.

    Raises:
        ConfigError: a SPEC or an option is unusable.
    """
    from pytest_llmdiff.config.keywords import in_keywords, settings_of
    from pytest_llmdiff.data.training.models import named_models
    from pytest_llmdiff.generation.windows import forget_passing
    from pytest_llmdiff.plugin.preparation.models import checked_specs

    try:
        named = named_models(settings_of(base, tuned, options))
        used = Interactive(named.settings, named.notes)
        used.specs = checked_specs(used)
    except LLMDiffError as error:
        raise in_keywords(error) from error
    used.store.look_over()
    forget_passing(used.store)
    return OpenedPair(used)


class Interactive:
    """What a pair of models needs of a session, where there is none: it keeps no rows, and has no
    baseline."""

    def __init__(self, settings: Settings, notes: tuple[str, ...]) -> None:
        self.settings = settings
        self.specs: tuple[Spec, Spec] | None = None
        self.served: Spec | None = None
        self.notes = list(notes)
        self.warnings: list[str] = []
        self.worker = False

    @cached_property
    def pair_run(self) -> PairRun:
        from pytest_llmdiff.generation.locks import ModelLock
        from pytest_llmdiff.plugin.pair_run import PairRun

        assert self.specs is not None
        base, tuned = self.specs

        def open_engines() -> Pair:
            from pytest_llmdiff.engines import opening

            return opening.open_pair(base, tuned, self.settings, self.store)

        def lock() -> ModelLock:
            # Released after each piece of work: a notebook may stay idle for hours while another
            # process, or another pair of this one, needs the models.
            place = self.pair_run.generation.pair.place()
            return ModelLock(self.store, *place.locks, keep=False)

        return PairRun(self, self.specs, open_engines, lock=lock)

    @cached_property
    def store(self) -> Store:
        from pytest_llmdiff.store import Store

        return Store(self.settings.store)

    @cached_property
    def plan(self) -> Plan:
        from pytest_llmdiff.generation.plan import Plan

        return Plan(self.settings)

    @cached_property
    def allowed(self) -> AllowedChanges:
        from pytest_llmdiff.plugin.allowed import AllowedChanges, conditions_of

        return AllowedChanges(self.settings, lambda role: conditions_of(self.pair_run, role))

    @property
    def progress(self) -> Progress:
        from pytest_llmdiff.plugin.progress import Silent

        return Silent()

    @property
    def stop(self) -> Interactive:
        return self

    def check(self) -> None:
        """Only closing the pair ends the work early."""
        self.pair_run.require_open()

    def accepted_for(self, probe: Probe) -> Accepted | None:
        return self.allowed.accepted_for(probe)

    def noise(self, measure: str, probes: str) -> Noise:  # noqa: ARG002
        raise LookupError("limits from a baseline belong to tests")

    def show(self, comparison: Comparison) -> None: ...
    def explained(self, comparison: Comparison, explanation: Explanation) -> None: ...
    def attributed(self, comparison: Comparison, found: Attribution) -> None: ...
    def explored(self, found: dict[str, Any]) -> None: ...
    def record(self, comparison: Any, verdict: Any, sample: Any | None = None) -> None: ...

    def rerun(self) -> str:
        return ""

    def close(self) -> None:
        try:
            self.pair_run.close()
        finally:
            self.store.close()
