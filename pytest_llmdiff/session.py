"""One run: its settings, models, plan and rows. Registered as a plugin under `SESSION`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_llmdiff.comparison import (
        Comparison,
        Explanation,
        InputsOf,
        Reply,
        Score,
        TokenDivergences,
    )
    from pytest_llmdiff.engines import Generated
    from pytest_llmdiff.formats.template_source import TemplateSource
    from pytest_llmdiff.generation import Generation, Side
    from pytest_llmdiff.neighbours import Neighbours
    from pytest_llmdiff.planning import Request
    from pytest_llmdiff.probes import Probe
    from pytest_llmdiff.reports.facts import Facts
    from pytest_llmdiff.scoring import Scoring
    from pytest_llmdiff.settings import Settings
    from pytest_llmdiff.specs import Spec
    from pytest_llmdiff.store import Store
    from pytest_llmdiff.training import TrainData, Training

# This module is imported at every start of pytest, so all of its parts come in on use.
SESSION = pytest.StashKey["Session"]()
RUN_ID = "llmdiff_run_id"
ROW = pytest.StashKey[dict[str, Any]]()


class Session:
    """The state of a run with or without models; one per process.

    It is the `Run` that comparisons know and the `ModelRun` of the model fixtures.
    """

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.specs: tuple[Spec, Spec] | None = None
        self.rows: dict[str, dict[str, Any]] = {}
        self.skipped = 0
        self.note: str | None = None
        self.closing: list[str] = []  # last lines of the summary: what was written where
        self._probes: dict[str, list[Probe]] = {}
        self._requests: list[Request] = []
        self._item: pytest.Item | None = None

    # Collection and planning

    def expect(self, probes: Sequence[Probe]) -> None:
        """Take the probes of a test into the plan. Called in test order, after deselection."""
        from pytest_llmdiff.planning import request_of

        for probe in map(self.with_system, probes):
            request = request_of(probe, self.settings)
            self._requests.append(request)
            self._probes.setdefault(request.key, []).append(probe)

    @cached_property
    def store(self) -> Store:
        from pytest_llmdiff.store import Store

        return Store(self.settings.store)

    @cached_property
    def generation(self) -> Generation:
        from pytest_llmdiff.engines.opening import open_pair
        from pytest_llmdiff.errors import ConfigError
        from pytest_llmdiff.generation import Generation
        from pytest_llmdiff.planning import plan
        from pytest_llmdiff.reports.progress import progress_for

        if self.specs is None:
            raise ConfigError("no models were given")

        base, tuned = self.specs
        return Generation(
            lambda: open_pair(base, tuned, self.settings, self.store),
            self.store,
            plan(self._requests),
            eager=hasattr(self.config, "workerinput"),
            progress=progress_for(self.config),
        )

    @cached_property
    def scoring(self) -> Scoring:
        from pytest_llmdiff.scoring import Scoring

        return Scoring(self.settings, self.store, self.generation)

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
    def neighbours(self) -> Neighbours | None:
        """Where probes are looked for in the training data, if that is known."""
        from pytest_llmdiff.errors import LLMDiffError

        try:
            data = self.train_data
        except (LLMDiffError, OSError, ValueError):
            # Broken traces of a training are no reason to fail a test that asks nothing of them.
            if self.settings.train_data is not None:
                raise
            return None
        if not data.datasets:
            return None
        from pytest_llmdiff.neighbours import Neighbours
        from pytest_llmdiff.reports.progress import progress_for

        return Neighbours(data, self.scoring, progress_for(self.config))

    def template_source(self, text: str) -> TemplateSource:
        """A template that a test names."""
        from pytest_llmdiff.formats.template_source import read_template

        return read_template(
            text, option=f"template={text!r}", folder=self.settings.folder,
            llamafactory=self.settings.llamafactory,
        )  # fmt: skip

    # Replies and comparisons

    def with_system(self, probe: Probe) -> Probe:
        from pytest_llmdiff.probes import with_system

        return with_system(probe, self.settings.system)

    def reply(self, side: Side, probes: Sequence[Probe]) -> list[Reply]:
        requests = [self._request_of(self.with_system(probe)) for probe in probes]
        outcomes = self.generation.outcomes(requests, (side,))
        return [_reply(outcomes[side, request.key], side) for request in requests]

    def compare(self, probes: Sequence[Probe]) -> list[Comparison]:
        from pytest_llmdiff.comparison import Comparison

        probes = [self.with_system(probe) for probe in probes]
        requests = [self._request_of(probe) for probe in probes]
        outcomes = self.generation.outcomes(requests)
        found = [
            Comparison(
                probe=probe,
                base=_reply(outcomes["base", request.key], "base"),
                tuned=_reply(outcomes["tuned", request.key], "tuned"),
                run=self,
            )
            for probe, request in zip(probes, requests, strict=True)
        ]
        for comparison in found:
            self._show(comparison)
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
        around = [c for comparison in comparisons for c in self._window(comparison)]
        scores = self.scoring.scores(
            role, spec, own, lambda: [texts for c in around for texts in inputs_of(c)]
        )
        languages = self.scoring.languages(role, spec)
        declared = [c.probe.language for c in comparisons for _ in inputs_of(c)]
        reasons = [undeclared(language, languages) for language in declared]
        return [
            score if reason is None else Score(value=None, unsupported=reason)
            for score, reason in zip(scores, reasons, strict=True)
        ]

    def divergences(self, comparisons: Sequence[Comparison]) -> list[TokenDivergences]:
        return self.generation.divergences([self._request(c) for c in comparisons])

    def explain(self, comparison: Comparison) -> Explanation:
        """What a failure text shows beyond the comparison; kept for the reports as well."""
        from pytest_llmdiff.comparison import Explanation
        from pytest_llmdiff.errors import LLMDiffError
        from pytest_llmdiff.reports.rows import take_explanation

        explanation = Explanation()
        if self.neighbours is not None:
            explanation = self.neighbours.explain(comparison.probe.messages)
            for row in self._item.stash[ROW]["comparisons"] if self._item else ():
                if row["messages"] == list(comparison.probe.messages):
                    take_explanation(row, explanation)
        try:
            (found,) = self.generation.divergences([self._request(comparison)], eager=False)
        except LLMDiffError:
            found = None
        return replace(
            explanation,
            divergences=None if found is None or found.unsupported else found,
            rerun=self.rerun(),
        )

    def record(self, comparison: Comparison | None, verdict: Any) -> None:
        """Keep a verdict with the running test, for the reports."""
        from pytest_llmdiff.reports.rows import verdict_row

        if self._item is not None:
            row = verdict_row(comparison, verdict)
            self._item.stash[ROW]["verdicts"].append(row)
            if row["value"] is not None:
                name = "llmdiff " + row["name"]
                self._item.user_properties.append((name, row["value"]))

    def rerun(self) -> str:
        if self._item is None:
            return ""
        from pytest_llmdiff.reports.rerun import rerun_command

        return rerun_command(self.config, self._item, self.settings)

    # Tests

    def enter(self, item: pytest.Item) -> None:
        self._item = item
        item.stash[ROW] = {"verdicts": [], "comparisons": []}

    def _show(self, comparison: Comparison) -> None:
        """Keep what a test compared, for the reports."""
        if self._item is not None:
            from pytest_llmdiff.reports.rows import comparison_row

            neighbours = self.neighbours
            leak = None if neighbours is None else neighbours.same(comparison.probe.messages)
            self._item.stash[ROW]["comparisons"].append(comparison_row(comparison, leak))

    def leave(self) -> None:
        self._item = None
        if "generation" in self.__dict__:
            self.generation.give_way()

    def finish(self) -> None:
        """Free the models, and leave behind what the controller needs of a worker."""
        if "generation" not in self.__dict__:
            return
        facts: dict[str, Any] = dict.fromkeys(self.generation.notes, "note")
        facts |= dict.fromkeys(self.store.warnings, "warning")
        if self.generation.opened:
            facts |= {f"{k} {v}": "resolved" for k, v in self.generation.pair.resolved.items()}
            facts |= dict.fromkeys(self.generation.pair.notes, "note")
        self.store.put(f"said {self.run_id}", facts)
        if self.settings.record is not None:
            used = [*self.generation.used, *self.scoring.used]
            self.store.put(f"used {self.run_id}", {f"{kind} {key}": 1 for kind, key in used})
        self.generation.close()

    # What the reports on the controller show of all processes

    @cached_property
    def said(self) -> dict[str, str]:
        """Notes, warnings and resolved values that the processes of this run left in the store."""
        if not self.rows or self.specs is None:
            return {}
        kind = f"said {self.run_id}"
        found = self.store.get(kind, self.store.keys(kind))
        for key in found:
            self.store.remove(kind, key)
        return found

    def facts(self) -> Facts:
        from pytest_llmdiff.reports.facts import Facts

        def of(kind: str) -> list[str]:
            return [text for text, found in self.said.items() if found == kind]

        own = self.store.warnings if self.rows else []
        return Facts(
            settings=self.settings,
            rows=self.rows,
            resolved=dict(text.split(" ", 1) for text in of("resolved")),
            notes=of("note"),
            warnings=list(dict.fromkeys([*own, *of("warning")])),
            skipped=self.skipped,
        )

    @cached_property
    def run_id(self) -> str:
        """The same in every process of a run: workers get it from their controller."""
        import uuid

        return str(getattr(self.config, "workerinput", {}).get(RUN_ID) or uuid.uuid4().hex)

    def _request_of(self, probe: Probe) -> Request:
        from pytest_llmdiff.planning import request_of

        return request_of(probe, self.settings)

    def _request(self, comparison: Comparison) -> Request:
        return self._request_of(comparison.probe)

    def _window(self, comparison: Comparison) -> list[Comparison]:
        """All planned comparisons in the window of one, as far as both replies are there."""
        window = self.generation.window_requests(self._request(comparison))
        outcomes = self.generation.stored(window)
        found = []
        for request in window:
            sides = [outcomes.get((side, request.key)) for side in ("base", "tuned")]
            replies = [side.reply for side in sides if side is not None and side.reply is not None]
            if len(replies) == 2:
                probes = self._probes.get(request.key, [comparison.probe])
                found.append(replace(comparison, probe=probes[0], base=replies[0],
                                     tuned=replies[1]))  # fmt: skip
        return found


def _reply(generated: Generated, side: str) -> Reply:
    from pytest_llmdiff.errors import ProbeError

    if generated.reply is None:
        raise ProbeError(f"the {side} model cannot answer this probe: {generated.error}")
    return generated.reply
