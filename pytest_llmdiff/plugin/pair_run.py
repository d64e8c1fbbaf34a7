"""Two models side by side: their replies, comparisons, and all that is asked of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llmdiff.config.packages import installed_version
from pytest_llmdiff.config.settings import Settings
from pytest_llmdiff.generation.generator import ReplyGenerator
from pytest_llmdiff.generation.scoring import Scoring
from pytest_llmdiff.verdicts.baseline import Conditions, Role

if TYPE_CHECKING:
    import pytest

    from pytest_llmdiff.config.specs import Spec
    from pytest_llmdiff.data.comparison import (
        Accepted,
        Comparison,
        InputsOf,
        PassagesOf,
        Reply,
        Score,
        Side,
    )
    from pytest_llmdiff.data.pools import Pool
    from pytest_llmdiff.data.probes import Probe
    from pytest_llmdiff.data.tokens import Likelihood, Passage, TokenDivergences
    from pytest_llmdiff.data.training.template_source import TemplateSource
    from pytest_llmdiff.data.training.training import TrainData, Training
    from pytest_llmdiff.engines.pair.first_differences import FirstDifference
    from pytest_llmdiff.engines.pair.pair import Pair
    from pytest_llmdiff.explain.attention.values import AttentionMap, AttentionView, Moves
    from pytest_llmdiff.explain.attribution.values import Attribution, Terms
    from pytest_llmdiff.explain.carriers import Carriers
    from pytest_llmdiff.explain.explainer import Explainer
    from pytest_llmdiff.explain.explanation import Explanation
    from pytest_llmdiff.explain.training.known import KnownTraining
    from pytest_llmdiff.explain.training.recitation import Recital
    from pytest_llmdiff.explain.training.values import At, Influences
    from pytest_llmdiff.generation.comparisons import Comparer
    from pytest_llmdiff.generation.locks import ModelLock
    from pytest_llmdiff.generation.plan import Plan
    from pytest_llmdiff.generation.rows import UsedKeys
    from pytest_llmdiff.plugin.workers import StopSignal
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.verdicts.baseline import Noise


class RunContext(Protocol):
    """What a pair of models needs of the run that it is part of."""

    config: pytest.Config
    settings: Settings

    @property
    def store(self) -> Store: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def stop(self) -> StopSignal: ...
    @property
    def calibrating(self) -> bool: ...
    def accepted_for(self, probe: Probe) -> Accepted | None: ...
    def noise(self, measure: str, probes: str) -> Noise: ...
    def show(self, comparison: Comparison) -> None: ...
    def explained(self, comparison: Comparison, explanation: Explanation) -> None: ...
    def record(self, comparison: Any, verdict: Any, sample: Any | None = None) -> None: ...
    def rerun(self) -> str: ...


class PairRun:
    """The `Run` that comparisons know and the `ModelRun` of the model fixtures.

    The base and the tuned model, or with other `sides` the tuned model, in the base's place, and
    the same as it is served. What a test did is kept by the run as a whole.
    """

    def __init__(
        self,
        context: RunContext,
        specs: tuple[Spec, Spec],
        opened: Callable[[], Pair],
        *,
        sides: tuple[str, str] = ("base", "tuned"),
        used: UsedKeys | None = None,
        lock: Callable[[], ModelLock] | None = None,
    ) -> None:
        self.sides = sides
        self.divergences_expected = False
        self._context = context
        self._specs = specs
        self._opened = opened
        self._used = used
        self._lock = lock

    @cached_property
    def generation(self) -> ReplyGenerator:
        from pytest_llmdiff.generation.generator import ReplyGenerator
        from pytest_llmdiff.generation.plan import cut_windows, growing
        from pytest_llmdiff.plugin.progress import progress_for

        sizes = partial(growing, self._largest)
        found = ReplyGenerator(
            self._opened,
            self._context.store,
            cut_windows(self._context.plan.planned if self.tuning else (), sizes()),
            sizes=sizes,
            eager=hasattr(self._context.config, "workerinput"),
            progress=progress_for(self._context.config),
            used=self._used,
            lock=self._lock,
            check=self._context.stop.check,
        )
        found.windows.divergences_expected = self.divergences_expected
        return found

    @property
    def _largest(self) -> int:
        """How many prompts are worth asking for together, at most."""
        from pytest_llmdiff.generation.plan import LARGEST

        if all(spec.kind != "server" for spec in self._specs):
            return LARGEST
        from pytest_llmdiff.engines.server.endpoint import IN_FLIGHT, ROUNDS

        return max(LARGEST, ROUNDS * (self.settings.batch_size or IN_FLIGHT))

    @property
    def tuning(self) -> bool:
        """Whether base and tuned model are compared; else it is the tuned and the served one."""
        return self.sides == ("base", "tuned")

    @property
    def opened(self) -> bool:
        """Whether any model was asked for."""
        return "generation" in self.__dict__ and self.generation.loaded.opened

    def wanted(self) -> bool:
        """Whether another process waits for the models that this one holds."""
        return "generation" in self.__dict__ and self.generation.loaded.wanted()

    def close(self) -> None:
        """Free the models."""
        if "generation" in self.__dict__:
            self.generation.loaded.close()

    @cached_property
    def comparer(self) -> Comparer:
        from pytest_llmdiff.generation.comparisons import Comparer

        return Comparer(
            self,
            self._context.plan,
            self.generation,
            sides=self.sides,
            accepted=self._context.accepted_for if self.tuning else lambda _: None,
            show=self._context.show,
        )

    @cached_property
    def scoring(self) -> Scoring:
        from pytest_llmdiff.generation.scoring import Scoring

        return Scoring(self.settings, self._context.store, self.generation, self._used)

    @cached_property
    def trained(self) -> KnownTraining:
        from pytest_llmdiff.explain.training.known import KnownTraining
        from pytest_llmdiff.plugin.progress import progress_for

        return KnownTraining(
            self.settings, self._specs, lambda: self.scoring,
            lambda: progress_for(self._context.config),
        )  # fmt: skip

    @cached_property
    def explainer(self) -> Explainer:
        from pytest_llmdiff.explain.explainer import Explainer

        near = self.trained.neighbours if self.tuning else None
        learnt = partial(self.trained.learnt, self._context.store) if self.tuning else None
        return Explainer(self.settings, self.generation, near, learnt)

    @property
    def notes(self) -> list[str]:
        """What the reports say of how the models were run."""
        explained = self.explainer.notes() if "explainer" in self.__dict__ else ()
        return [*self.generation.windows.notes, *self.generation.pair.notes, *explained]

    # Of the run and of the training

    @property
    def settings(self) -> Settings:
        return self._context.settings

    @property
    def calibrating(self) -> bool:
        return self._context.calibrating

    def noise(self, measure: str, probes: str) -> Noise:
        if not self.tuning:
            raise LookupError("a baseline is of the base and the tuned model")
        return self._context.noise(measure, probes)

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        self._context.record(comparison, verdict, sample)

    def rerun(self) -> str:
        return self._context.rerun()

    @property
    def wiring(self) -> Any:
        from pytest_llmdiff.measures.wiring import models

        return models

    @property
    def training(self) -> Training:
        return self.trained.training

    @property
    def train_data(self) -> TrainData:
        return self.trained.train_data

    def template_source(self, text: str) -> TemplateSource:
        return self.trained.template_source(text)

    # Comparer and comparisons

    def with_system(self, probe: Probe) -> Probe:
        return self._context.plan.with_system(probe)

    def reply(self, side: Side, probes: Sequence[Probe]) -> list[Reply]:
        return self.comparer.reply(side, probes)

    def compare(self, probes: Sequence[Probe]) -> list[Comparison]:
        return self.comparer.compare(probes)

    def compare_set(self, probes: Sequence[Probe]) -> Iterator[Comparison]:
        return self.comparer.compare_set(probes)

    def compare_each(self, probes: Iterable[Probe], count: int | None) -> Iterator[Comparison]:
        return self.comparer.compare_each(probes, count)

    def answer_together(self, pool: Pool) -> None:
        self.comparer.answer_together(pool)

    def read(self, probes: Sequence[Probe]) -> list[Comparison]:
        return self.comparer.read(probes)

    # What comparisons ask of their run

    def scores(
        self,
        role: str,
        comparisons: Sequence[Comparison],
        inputs_of: InputsOf,
        spec: object | None = None,
    ) -> list[Score]:
        own = [texts for comparison in comparisons for texts in inputs_of(comparison)]

        def around() -> list[tuple[str, ...]]:
            return [
                texts for found in self.comparer.near(comparisons) for texts in inputs_of(found)
            ]

        scores = self.scoring.scores(role, spec, own, around)
        declared = [c.probe.language for c in comparisons for _ in inputs_of(c)]
        if not any(declared):
            return scores
        from pytest_llmdiff.data.comparison import Score
        from pytest_llmdiff.data.text.scripts import undeclared

        languages = self.scoring.languages(role, spec)
        reasons = [undeclared(language, languages) for language in declared]
        return [
            score if reason is None else Score(value=None, unsupported=reason)
            for score, reason in zip(scores, reasons, strict=True)
        ]

    def languages(self, role: str) -> Sequence[str] | None:
        """Those that the run's scorer of a role says it can judge; None where it does not say."""
        return self.scoring.languages(role, None)

    @property
    def rounding(self) -> float:
        """The difference of two logits (nats) that rounding alone makes, on the noisier side."""
        services = (s.service for s in (self.generation.pair.base, self.generation.pair.tuned)
                    if hasattr(s, "service"))  # fmt: skip
        return max((service.tolerance for service in services), default=0.0)

    def first_differences(self, comparisons: Sequence[Comparison]) -> list[FirstDifference]:
        """Where each second reply leaves the first, and how sure the first model was there."""
        from pytest_llmdiff.measures.parity.parity import first_differences

        return first_differences(self.generation, comparisons)

    def divergences(self, comparisons: Sequence[Comparison]) -> list[TokenDivergences]:
        return self.generation.divergences([self.comparer.request(c) for c in comparisons])

    @cached_property
    def markers(self) -> frozenset[str]:
        """Special tokens and template marks in the files of both models; a recording has them."""
        return frozenset(
            self.generation.memo.get("markers", "tuned", None, lambda _: self.trained.markers())
        )

    def recitals(
        self, comparisons: Sequence[Comparison], besides: Sequence[str]
    ) -> list[Recital | None]:
        """What of the training answers the tuned replies recite; a recording has it."""
        from pytest_llmdiff.explain.training.recitation import Recital
        from pytest_llmdiff.store import files_hash

        data = self.trained.known_data if self.tuning else None
        also = data and files_hash(self._context.store, [dataset.path for dataset in data.datasets])
        if not self.generation.memo.get(
            "recites", "tuned", None, lambda _: data is not None, also=also
        ):
            return [None] * len(comparisons)
        about = [
            [list(comparison.probe.messages), comparison.tuned.text, beside]
            for comparison, beside in zip(comparisons, besides, strict=True)
        ]
        found = self.generation.memo.get_all(
            "recital", "tuned", about, lambda _, todo: self.trained.recited(todo), also=also
        )
        return [None if value is None else Recital(**value) for value in found]

    def likelihoods(
        self, side: Side, comparisons: Sequence[Comparison], passages_of: PassagesOf
    ) -> list[Likelihood | str]:
        from pytest_llmdiff.generation.likelihoods import likelihoods

        own = [passage for comparison in comparisons for passage in passages_of(comparison)]

        def around() -> list[Passage]:
            near = self.comparer.near(comparisons)
            return [passage for found in near for passage in passages_of(found)]

        return likelihoods(self.generation, side, own, around)

    def attention(self, comparisons: Sequence[Comparison]) -> list[AttentionView | str]:
        from pytest_llmdiff.explain.attention.views import attention_views

        return attention_views(
            self.generation, comparisons, around=lambda: list(self.comparer.near(comparisons))
        )

    def attention_moves(self, pairs: Sequence[tuple[Comparison, Comparison]]) -> list[Moves | str]:
        from pytest_llmdiff.explain.attention.views import attention_moves

        return attention_moves(self.generation, pairs)

    def attention_map(self, comparison: Comparison, *, layer: int, head: int) -> AttentionMap:
        from pytest_llmdiff.explain.attention.views import attention_map

        return attention_map(self.generation, comparison, layer=layer, head=head)

    def attribution(self, comparison: Comparison, terms: Terms) -> Attribution:
        from pytest_llmdiff.explain.attribution.attribution import attribution

        return attribution(self, comparison, terms)

    def influences(
        self, comparison: Comparison, *, reply: Side, examples: int | None, at: At
    ) -> Influences:
        from pytest_llmdiff.explain.training.influence import influences

        self._require_tuning("influence")
        learnt = partial(self.trained.learnt, self._context.store)
        return influences(
            self.generation, comparison, learnt, reply=reply, examples=examples, at=at
        )

    def carriers(self, comparisons: Sequence[Comparison]) -> Carriers:
        from pytest_llmdiff.explain.carriers import carriers

        self._require_tuning("carriers")
        return carriers(self.generation, comparisons)

    def _require_tuning(self, helper: str) -> None:
        if not self.tuning:
            from pytest_llmdiff.errors import ConfigError

            raise ConfigError(f"{helper} asks what tuning changed: it takes base and tuned model")

    def explain(self, comparison: Comparison) -> Explanation:
        """What a failure text shows beyond the comparison; kept for the reports as well."""
        from pytest_llmdiff.explain.explanation import Explanation

        if comparison.given is not None or self.settings.explain == "none":
            return Explanation(rerun=self.rerun())
        found = self.explainer.explain(comparison, self.comparer.request(comparison))
        explanation = replace(found, rerun=self.rerun())
        self._context.explained(comparison, explanation)
        return explanation


SETTINGS = (
    "max_new_tokens", "temperature", "top_p", "seed", "samples", "system", "quantization",
)  # fmt: skip
PACKAGES = ("pytest-llmdiff", "torch", "transformers", "peft")


def conditions_of(
    settings: Settings, generation: ReplyGenerator, scoring: Scoring, role: Role = None
) -> Conditions:
    """By name, as plain JSON; those with names of their own come first, since they say more than
    the hash of the base, which covers weights, tokenizer and template besides."""
    found: dict[str, object] = {name: getattr(settings, name) for name in SETTINGS}
    resolved = generation.pair.resolved
    if resolved:
        found |= {name: resolved[name] for name in ("device", "dtype") if name in resolved}
        found |= {name: installed_version(name) for name in PACKAGES}
    found["base"] = generation.pair.base.fingerprint()[:16]
    if role is not None:
        found[role] = scoring.fingerprint(role)[:16]
    return found
