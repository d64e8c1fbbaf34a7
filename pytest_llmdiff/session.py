"""One run: its settings, models, plan and rows. Registered as a plugin under `SESSION`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.accepted import Entry
    from pytest_llmdiff.asking import Asking
    from pytest_llmdiff.baseline import Baseline, Conditions, Limits, Noise, Role
    from pytest_llmdiff.comparison import (
        Accepted,
        Comparison,
        Explanation,
        InputsOf,
        Likelihood,
        Passage,
        PassagesOf,
        Reply,
        Score,
        Side,
        TokenDivergences,
    )
    from pytest_llmdiff.engines import Generated
    from pytest_llmdiff.engines.opening import Pair
    from pytest_llmdiff.engines.partings import Parting
    from pytest_llmdiff.formats.template_source import TemplateSource
    from pytest_llmdiff.generation import Generation
    from pytest_llmdiff.neighbours import Neighbours
    from pytest_llmdiff.planning import Request
    from pytest_llmdiff.pools import Pool
    from pytest_llmdiff.probes import Probe
    from pytest_llmdiff.recitation import Recital, Recitation
    from pytest_llmdiff.reports.facts import Facts
    from pytest_llmdiff.reports.kept import Kept
    from pytest_llmdiff.sayings import Sayings
    from pytest_llmdiff.scoring import Scoring
    from pytest_llmdiff.settings import Settings
    from pytest_llmdiff.shelf import Used
    from pytest_llmdiff.specs import Spec
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.training import TrainData, Training

# This module is imported at every start of pytest, so all of its parts come in on use.
SESSION = pytest.StashKey["Session"]()
RUN_ID = "llmdiff_run_id"
KEPT = pytest.StashKey["Kept"]()


class Session:
    """The state of a run with or without models; one per process.

    It is the `Run` that comparisons know and the `ModelRun` of the model fixtures. One `within`
    another compares the tuned model, in the base's place, with the same as it is served; store,
    running test and the right to hold models are those of the other.
    """

    def __init__(
        self, config: pytest.Config, settings: Settings, within: Session | None = None
    ) -> None:
        self.config = config
        self.settings = settings
        self.sides = ("base", "tuned") if within is None else ("tuned", "served")
        self.served: Spec | None = None
        self._within = within
        self.specs: tuple[Spec, Spec] | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.skipped = 0
        self.note: str | None = None
        self.warnings: list[str] = []
        self.closing: list[str] = []  # last lines of the summary: what was written where
        self._divergences_expected = False
        self._item: pytest.Item | None = None
        self._kept: Kept | None = None
        self._together: tuple[Comparison, ...] = ()
        self._pool: Pool | None = None
        self._pooled: dict[Request, Comparison] = {}

    # Collection and planning

    def expect(self, probes: Sequence[Probe]) -> None:
        """Take probes into the plan, in the order of their tests. Called after deselection."""
        if probes:
            self.asking.expect(probes)

    @cached_property
    def asking(self) -> Asking:
        from pytest_llmdiff.asking import Asking

        return Asking(self.settings)

    def expect_divergences(self) -> None:
        """A test will ask for the divergence: it is cheaper to have along with the replies."""
        self._divergences_expected = True

    @cached_property
    def store(self) -> Store:
        if self._within is not None:
            return self._within.store
        from pytest_llmdiff.store import Store

        return Store(self.settings.store)

    @cached_property
    def generation(self) -> Generation:
        from pytest_llmdiff.engines.opening import open_pair, open_served
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.generation import Generation
        from pytest_llmdiff.planning import plan
        from pytest_llmdiff.reports.progress import progress_for

        if self.specs is None:
            raise ConfigError("no models were given")

        base, tuned = self.specs
        whole = self._within

        def opened() -> Pair:
            if whole is not None and whole.specs is not None:
                return open_served(whole.generation.pair, whole.specs[0], tuned, self.settings,
                                   self.store)  # fmt: skip
            if self.calibrating:
                from pytest_llmdiff.engines.noise import open_noise

                return open_noise(base, self.settings, self.store)
            return open_pair(base, tuned, self.settings, self.store)

        found = Generation(
            opened,
            self.store,
            plan(self.asking.planned),
            eager=hasattr(self.config, "workerinput"),
            progress=progress_for(self.config),
            used=self._used,
            turn=None if whole is None else lambda: whole.generation.turn,
        )
        found.divergences_expected = self._divergences_expected
        return found

    @cached_property
    def serving(self) -> Session:
        """The tuned model beside the same as it is served. Raises ConfigError: none is given."""
        from pytest_llmdiff.errors import ConfigError

        if self.specs is None or self.served is None:
            raise ConfigError("no served model: give --llm-served SPEC")
        # What a recording or a baseline holds is of the base and the tuned model.
        settings = replace(self.settings, record=None, baseline=None)
        found = Session(self.config, settings, within=self)
        found.specs = (self.specs[1], self.served)
        found._item, found._kept = self._item, self._kept
        return found

    @cached_property
    def scoring(self) -> Scoring:
        from pytest_llmdiff.scoring import Scoring

        return Scoring(self.settings, self.store, self.generation, self._used)

    @cached_property
    def _used(self) -> Used | None:
        from pytest_llmdiff.shelf import Used

        recorded = self.settings.record is not None
        return Used(self.store, f"used {self.run_id}") if recorded else None

    @cached_property
    def training(self) -> Training:
        """What the tuned model was trained with, as far as that is known."""
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.training import find_training

        if self.specs is None:
            raise ConfigError("no models were given")
        return find_training(self.specs[1], self.settings)

    @cached_property
    def train_data(self) -> TrainData:
        """What the tuned model was trained on, as far as that is known."""
        from pytest_llmdiff.training import find_train_data

        return find_train_data(self.training, self.settings)

    @cached_property
    def _known_data(self) -> TrainData | None:
        """The training data, unless there is none or it could only be guessed and is broken."""
        from pytest_llmdiff.errors import LLMDiffError

        if self._within is not None:
            return None
        if self.specs is not None and not self.settings.tells_of_training(self.specs[1].kind):
            return None
        try:
            data = self.train_data
        except (LLMDiffError, OSError, ValueError):
            # Broken traces of a training are no reason to fail a test that asks nothing of them.
            if self.settings.train_data is not None:
                raise
            return None
        return data if data.datasets else None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """Where probes are looked for in the training data, if that is known."""
        if self._known_data is None:
            return None
        from pytest_llmdiff.neighbours import Neighbours
        from pytest_llmdiff.reports.progress import progress_for

        return Neighbours(self._known_data, self.scoring, progress_for(self.config))

    @cached_property
    def _recitation(self) -> Recitation | None:
        if self._known_data is None:
            return None
        from pytest_llmdiff.recitation import Recitation

        return Recitation(self._known_data)

    def template_source(self, text: str) -> TemplateSource:
        """A template that a test names."""
        from pytest_llmdiff.formats.template_source import read_template

        return read_template(
            text, option=f"template={text!r}", folder=self.settings.folder,
            llamafactory=self.settings.llamafactory,
        )  # fmt: skip

    # Replies and comparisons

    def with_system(self, probe: Probe) -> Probe:
        return self.asking.with_system(probe)

    def reply(self, side: Side, probes: Sequence[Probe]) -> list[Reply]:
        requests = [self.asking.asked_for(probe)[1] for probe in probes]
        outcomes = self.generation.outcomes(requests, (side,))
        return [_reply(outcomes[side, request.key], side) for request in requests]

    def compare(self, probes: Sequence[Probe]) -> list[Comparison]:
        asked = [self.asking.asked_for(probe) for probe in probes]
        outcomes = self.generation.outcomes([request for _, request in asked])
        found = [
            self._comparison(probe, outcomes["base", request.key], outcomes["tuned", request.key])
            for probe, request in asked
        ]
        for comparison in found:
            self._show(comparison)
        self._together = tuple(found)
        return found

    def _comparison(self, probe: Probe, base: Generated, tuned: Generated) -> Comparison:
        from pytest_llmdiff.comparison import Comparison

        return Comparison(
            probe=probe,
            base=_reply(base, self.sides[0]),
            tuned=_reply(tuned, self.sides[1]),
            sides=self.sides,
            margin=tuned.margin,
            near_tie=tuned.near_tie,
            accepted=self._accepted_for(probe),
            run=self,
        )

    def answer_together(self, pool: Pool) -> None:
        """Have all of a pool answered now, and what is scored of one of them scored for all."""
        if pool is self._pool:
            return
        from pytest_llmdiff.probes import make_probe

        asked = [self.asking.asked_for(make_probe(prompt)) for prompt in pool.prompts]
        outcomes = self.generation.outcomes([request for _, request in asked])
        found: dict[str, Comparison] = {}
        self._pool, self._pooled = pool, {}
        for prompt, (probe, request) in zip(pool.prompts, asked, strict=True):
            base, tuned = outcomes["base", request.key], outcomes["tuned", request.key]
            if base.reply is None or tuned.reply is None:
                continue  # it errs when it is asked for by itself
            original = None if prompt.original is None else found.get(prompt.original)
            comparison = replace(self._comparison(probe, base, tuned), original=original)
            found[prompt] = self._pooled[request] = comparison

    def compare_set(self, probes: Sequence[Probe]) -> Iterator[Comparison]:
        """Comparisons of a test's set in order, each probe as often as `samples` says."""
        repeats = (repeat for probe in probes for repeat in self.asking.repeats(probe))
        return self.compare_each(repeats, None)  # how many are to come, the plan tells

    def compare_each(self, probes: Iterable[Probe], count: int | None) -> Iterator[Comparison]:
        """Comparisons in order, a window at a time; `count` is how many, where that is known."""
        rest, done = iter(probes), 0
        for size in self.generation.strides():
            window = list(islice(rest, size))
            if not window:
                return
            if count is not None:
                self.generation.expect(count - done)
            yield from self.compare(window)
            done += len(window)

    def read(self, probes: Sequence[Probe]) -> list[Comparison]:
        """Comparisons of texts that both models read: the last message of each probe."""
        from pytest_llmdiff.comparison import Comparison, Reply

        silent = Reply(text="")
        asked = [self.with_system(p) if len(p.messages) > 1 else p for p in probes]
        found = [Comparison(probe=p, base=silent, tuned=silent, run=self) for p in asked]
        self._together = tuple(found)
        return found

    # What comparisons ask of their run

    def scores(
        self,
        role: str,
        comparisons: Sequence[Comparison],
        inputs_of: InputsOf,
        spec: object | None = None,
    ) -> list[Score]:
        from pytest_llmdiff.comparison import Score
        from pytest_llmdiff.scorers.scripts import undeclared

        own = [texts for comparison in comparisons for texts in inputs_of(comparison)]

        def around() -> list[tuple[str, ...]]:
            windows = (found for c in comparisons for found in self._window(c))
            return [texts for found in windows for texts in inputs_of(found)]

        scores = self.scoring.scores(role, spec, own, around)
        declared = [c.probe.language for c in comparisons for _ in inputs_of(c)]
        if not any(declared):
            return scores
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

    def partings(self, comparisons: Sequence[Comparison]) -> list[Parting]:
        """Where each second reply leaves the first, and how sure the first model was there."""
        from pytest_llmdiff.partings import partings

        return partings(self.generation, comparisons)

    def divergences(self, comparisons: Sequence[Comparison]) -> list[TokenDivergences]:
        return self.generation.divergences([self._request(c) for c in comparisons])

    @cached_property
    def markers(self) -> frozenset[str]:
        """Special tokens and template marks in the files of both models; a recording has them."""
        return frozenset(
            self.generation.remembered("markers", "tuned", None, lambda _: self._own_markers())
        )

    def _own_markers(self) -> list[str]:
        from pytest_llmdiff.formats.markers import markers_of
        from pytest_llmdiff.specs import fetch

        folders = [fetch(s) for s in self.specs or () if s.kind in ("adapter", "weights")]
        return sorted(set().union(*map(markers_of, folders)))

    def recitals(
        self, comparisons: Sequence[Comparison], besides: Sequence[str]
    ) -> list[Recital | None]:
        """What of the training answers the tuned replies recite; a recording has it."""
        from pytest_llmdiff.recitation import Recital
        from pytest_llmdiff.store import files_hash

        data = self._known_data
        also = data and files_hash(self.store, [dataset.path for dataset in data.datasets])
        if not self.generation.remembered(
            "recites", "tuned", None, lambda _: data is not None, also=also
        ):
            return [None] * len(comparisons)
        about = [
            [list(comparison.probe.messages), comparison.tuned.text, beside]
            for comparison, beside in zip(comparisons, besides, strict=True)
        ]
        found = self.generation.remembered_all(
            "recital", "tuned", about, lambda _, todo: self._recited(todo), also=also
        )
        return [None if value is None else Recital(**value) for value in found]

    def _recited(self, asked: Sequence[Any]) -> list[dict[str, Any] | None]:
        if self._recitation is None:
            return [None] * len(asked)
        found = [
            self._recitation.recited(messages, text, beside=beside)
            for messages, text, beside in asked
        ]
        return [None if recital is None else vars(recital) for recital in found]

    def likelihoods(
        self, side: Side, comparisons: Sequence[Comparison], passages_of: PassagesOf
    ) -> list[Likelihood]:
        from pytest_llmdiff.likelihoods import likelihoods

        own = [passage for comparison in comparisons for passage in passages_of(comparison)]

        def around() -> list[Passage]:
            windows = (found for c in comparisons for found in self._window(c))
            return [passage for found in windows for passage in passages_of(found)]

        return likelihoods(self.generation, side, own, around)

    def explain(self, comparison: Comparison) -> Explanation:
        """What a failure text shows beyond the comparison; kept for the reports as well."""
        from pytest_llmdiff.comparison import Explanation
        from pytest_llmdiff.errors import LLMDiffError

        explanation = Explanation()
        if comparison.given is not None:
            return Explanation(rerun=self.rerun())
        if self.neighbours is not None:
            explanation = self.neighbours.explain(comparison.probe.messages)
            if self._kept is not None:
                self._kept.explain(comparison, explanation)
        try:
            (found,) = self.generation.divergences([self._request(comparison)], eager=False)
        except LLMDiffError:
            found = None
        return replace(
            explanation,
            divergences=None if found is None or found.unsupported else found,
            rerun=self.rerun(),
        )

    def record(
        self, comparison: Comparison | None, verdict: Any, sample: Any | None = None
    ) -> None:
        """Keep a verdict with the running test, for the reports; of a set with its members."""
        if self._item is None or self._kept is None:
            return
        m = verdict.measurement
        listed = self._kept.judge(comparison, verdict, sample)
        if listed and math.isfinite(m.value):
            self._item.user_properties.append((f"llmdiff {m.name}", m.value))

    def rerun(self) -> str:
        if self._item is None:
            return ""
        from pytest_llmdiff.reports.rerun import rerun_command

        return rerun_command(self.config, self._item, self.settings)

    # Baselines and accepted changes

    @cached_property
    def accepted(self) -> dict[str, Entry]:
        """Accepted changes by the digest of the probe."""
        from pytest_llmdiff.accepted import read_accepted

        own = self._within is None and not self.calibrating
        return read_accepted(self.settings.accepted) if own else {}

    def _accepted_for(self, probe: Probe) -> Accepted | None:
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
        from pytest_llmdiff.baseline import read_baseline

        return read_baseline(self.settings.baseline)

    @cached_property
    def _limits(self) -> Limits:
        from pytest_llmdiff.baseline import Limits

        return Limits(self.baseline, self.conditions)

    def check_files(self) -> None:
        """Read what limits and expected replies come from. Raises ConfigError: it is malformed."""
        _ = self.baseline, self.accepted

    def conditions(self, role: Role = None) -> Conditions:
        """What a limit depends on besides the probes; with the scorer of a role."""
        from pytest_llmdiff.conditions import conditions_of

        return conditions_of(self.settings, self.generation, self.scoring, role)

    # Tests

    def enter(self, item: pytest.Item) -> None:
        self._item = item
        if self.specs is not None:
            from pytest_llmdiff.reports.kept import Kept

            self._kept = item.stash[KEPT] = Kept(
                all_values=self.calibrating, all_comparisons=self.settings.accept
            )
        self._tell_serving()

    def _show(self, comparison: Comparison) -> None:
        """Keep what a test compared, for the reports."""
        if self._kept is None:
            return
        near = self.neighbours
        self._kept.show(
            comparison, lambda: None if near is None else near.same(comparison.probe.messages)
        )

    def leave(self) -> None:
        self._item = self._kept = None
        self._tell_serving()
        if "generation" in self.__dict__ and self.generation.wanted():
            self._close()

    def _tell_serving(self) -> None:
        if "serving" in self.__dict__:
            self.serving._item, self.serving._kept = self._item, self._kept

    def _close(self) -> None:
        """Free all models, and let go of the right to hold them."""
        if "serving" in self.__dict__:
            self.serving._close()
        if "generation" in self.__dict__:
            self.generation.close()

    def release(self) -> None:
        """Forget rows and replies; a comparison that something still holds keeps the run alive."""
        self.rows = {}
        for part in ("generation", "serving", "scoring", "asking"):
            self.__dict__.pop(part, None)

    def finish(self) -> None:
        """Free the models, and leave behind what the controller needs of a worker."""
        if "generation" not in self.__dict__:
            return
        notes, resolved = self._said()
        if "serving" in self.__dict__:
            more, others = self.serving._said()
            notes = list(dict.fromkeys([*notes, *more]))
            resolved |= {f"served {name}": v for name, v in others.items() if name == "dtype"}
        self.sayings.leave(
            notes=notes, warnings=[*self.store.warnings, *self.warnings], resolved=resolved
        )
        if self._used is not None:
            self._used.flush()
        self._close()

    def _said(self) -> tuple[list[str], dict[str, str]]:
        """Notes of the models, and what `auto` came out as."""
        if "generation" not in self.__dict__ or not self.generation.opened:
            return [], {}
        generation = self.generation
        return [*generation.notes, *generation.pair.notes], generation.resolved()

    # What the reports on the controller show of all processes

    @cached_property
    def sayings(self) -> Sayings:
        from pytest_llmdiff.sayings import Sayings

        return Sayings(self.store, self.run_id)

    def facts(self) -> Facts:
        from pytest_llmdiff.family import adjust, chance_of
        from pytest_llmdiff.reports.facts import Facts

        adjust(self.rows.values())
        said = self.sayings if self.rows and self.specs is not None else None
        own = [*self.store.warnings, *self.warnings] if self.rows else []
        return Facts(
            settings=self.settings,
            rows=self.rows,
            resolved={} if said is None else said.resolved,
            notes=[] if said is None else said.notes,
            warnings=list(dict.fromkeys([*own, *(() if said is None else said.warnings)])),
            skipped=self.skipped,
            chance=chance_of(self.rows.values()),
        )

    @cached_property
    def run_id(self) -> str:
        """The same in every process of a run: workers get it from their controller."""
        import uuid

        return str(getattr(self.config, "workerinput", {}).get(RUN_ID) or uuid.uuid4().hex)

    def _request(self, comparison: Comparison) -> Request:
        return self.asking.asked_for(comparison.probe)[1]

    def _window(self, comparison: Comparison) -> list[Comparison]:
        """All planned comparisons in the window of one, as far as both replies are there; for one
        of run time those that were compared together with it."""
        request = self._request(comparison)
        if request in self._pooled:
            return list(self._pooled.values())
        if request not in self.asking.planned and comparison in self._together:
            return list(self._together)
        window = self.generation.window_requests(request)
        outcomes = self.generation.stored(window)
        found = []
        for request in window:
            sides = [outcomes.get((side, request.key)) for side in ("base", "tuned")]
            replies = [side.reply for side in sides if side is not None and side.reply is not None]
            if len(replies) == 2:
                probe = self.asking.planned.get(request, comparison.probe)
                found.append(replace(comparison, probe=probe, base=replies[0],
                                     tuned=replies[1], original=None))  # fmt: skip
        return found


def _reply(generated: Generated, side: str) -> Reply:
    from pytest_llmdiff.errors import ProbeError

    if generated.reply is None:
        raise ProbeError(f"the {side} model cannot answer this probe: {generated.error}")
    return generated.reply


def case_of(item: pytest.Item) -> str:
    """A test's id without the parameters: what its cases have in common."""
    name = getattr(item, "originalname", None) or item.name
    return item.nodeid if item.parent is None else f"{item.parent.nodeid}::{name}"
